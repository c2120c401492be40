//! From hidden states to vectors, on the host: sums in f64, so that the device's share of the
//! rounding is the only one.

/// Smallest norm that is divided by, as in `torch.nn.functional.normalize`.
const EPSILON: f64 = 1e-12;

/// Scales to length one.
pub fn normalize(vector: &mut [f32]) {
    let norm = vector
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt()
        .max(EPSILON);
    for value in vector {
        *value = (f64::from(*value) / norm) as f32;
    }
}

/// The first `dimensions` numbers of a vector, scaled to length one: what the reference returns
/// for `truncate_dim`.
pub fn truncate(mut vector: Vec<f32>, dimensions: usize) -> Vec<f32> {
    vector.truncate(dimensions);
    normalize(&mut vector);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_vector_stays_zero_instead_of_becoming_nan() {
        let mut zero = [0.0; 4];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 4]);
    }

    #[test]
    fn a_cut_vector_has_length_one_again() {
        let cut = truncate(vec![3.0, 4.0, 12.0], 2);
        assert_eq!(cut, [0.6, 0.8]);
    }
}
