//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::{assert_close, device, numbers, tensor};

/// `y[m, n] = Σ x[m, k] w[n, k] + bias[n] + Σ t[m, r] b[n, r] + residual[m, n]`
fn reference([m, n, k, r]: [usize; 4], [x, w, bias, a, b, residual]: [&[f32]; 6]) -> Vec<f64> {
    let dot = |p: &[f32], q: &[f32]| -> f64 {
        p.iter()
            .zip(q)
            .map(|(p, q)| f64::from(*p) * f64::from(*q))
            .sum()
    };
    let mut y = Vec::with_capacity(m * n);
    for row in 0..m {
        let input = &x[row * k..(row + 1) * k];
        let t: Vec<f64> = (0..r)
            .map(|rank| dot(input, &a[rank * k..(rank + 1) * k]))
            .collect();
        for col in 0..n {
            let mut sum = dot(input, &w[col * k..(col + 1) * k]);
            sum += bias.get(col).map_or(0.0, |value| f64::from(*value));
            sum += (0..r)
                .map(|rank| t[rank] * f64::from(b[col * r + rank]))
                .sum::<f64>();
            sum += residual
                .get(row * n + col)
                .map_or(0.0, |value| f64::from(*value));
            y.push(sum);
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_form_equals_the_plain_loop(
        m in 1usize..131,
        n in 1usize..97,
        k4 in 1usize..48,
        r4 in 0usize..3,
        with_bias: bool,
        with_residual: bool,
        seed: u64,
    ) {
        let (k, r) = (k4 * 4, r4 * 4);
        let x = numbers(seed, m * k, 2.0);
        let w = numbers(seed.wrapping_add(1), n * k, 1.0);
        let bias = numbers(seed.wrapping_add(2), if with_bias { n } else { 0 }, 50.0);
        let a = numbers(seed.wrapping_add(3), r * k, 0.5);
        let b = numbers(seed.wrapping_add(4), n * r, 0.5);
        let residual = numbers(seed.wrapping_add(5), if with_residual { m * n } else { 0 }, 10.0);
        let needed = reference([m, n, k, r], [&x, &w, &bias, &a, &b, &residual]);
        for (kernels, device) in [
            (Kernels::Portable, device(Kernels::Portable)),
            (Kernels::Tiled, device(Kernels::Tiled)),
            (Kernels::Direct, device(Kernels::Direct)),
        ] {
            let update = (r > 0)
                .then(|| LowRank { a: tensor(&a, [r, k], &device).into(), b: tensor(&b, [n, r], &device).into() });
            let bias = with_bias.then(|| tensor(&bias, [n], &device));
            let residual = with_residual.then(|| tensor(&residual, [m, n], &device));
            let (x, w) = (tensor(&x, [m, k], &device), tensor(&w, [n, k], &device));
            let y = linear(kernels, x, &w.into(), bias.as_ref(), update.as_ref(), residual);
            assert_close(y, &needed, 1e-5);
        }
    }
}

#[test]
fn an_input_width_that_no_vector_fits_is_computed_all_the_same() {
    let (x, w) = (numbers(1, 3 * 7, 1.0), numbers(2, 5 * 7, 1.0));
    let needed = reference([3, 5, 7, 0], [&x, &w, &[], &[], &[], &[]]);
    let device = device(Kernels::Direct);
    let y = linear(
        Kernels::Direct,
        tensor(&x, [3, 7], &device),
        &tensor(&w, [5, 7], &device).into(),
        None,
        None,
        None,
    );
    assert_close(y, &needed, 1e-5);
}
