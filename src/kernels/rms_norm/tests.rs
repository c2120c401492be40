//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::{assert_close, device, numbers, tensor};

fn reference(x: &[f32], weight: &[f32], eps: f64) -> Vec<f64> {
    x.chunks(weight.len())
        .flat_map(|row| {
            let squares: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            let scale = 1.0 / (squares / row.len() as f64 + eps).sqrt();
            row.iter()
                .zip(weight)
                .map(|(value, weight)| f64::from(*value) * scale * f64::from(*weight))
                .collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_form_equals_the_plain_loop(m in 1usize..131, h in 1usize..300, magnitude in -3i32..6, seed: u64) {
        let x = numbers(seed, m * h, 10f32.powi(magnitude));
        let weight = numbers(seed.wrapping_add(1), h, 3.0);
        let needed = reference(&x, &weight, 1e-6);
        for kernels in [Kernels::Portable, Kernels::Tiled] {
            let device = device(kernels);
            let y = rms_norm(kernels, tensor(&x, [m, h], &device), &tensor(&weight, [h], &device), 1e-6);
            assert_close(y, &needed, 2e-6);
        }
    }
}

#[test]
fn a_row_of_zeros_stays_zero() {
    let device = device(Kernels::Tiled);
    let (x, weight) = (
        tensor(&[0.0; 8], [2, 4], &device),
        tensor(&[1.0; 4], [4], &device),
    );
    assert_close(rms_norm(Kernels::Tiled, x, &weight, 1e-6), &[0.0; 8], 0.0);
}
