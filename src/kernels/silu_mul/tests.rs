//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::{assert_close, device, numbers, tensor};

fn reference(gate: &[f32], up: &[f32]) -> Vec<f64> {
    gate.iter()
        .zip(up)
        .map(|(gate, up)| {
            let gate = f64::from(*gate);
            gate / (1.0 + (-gate).exp()) * f64::from(*up)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_form_equals_the_plain_loop(m in 1usize..131, n in 1usize..200, seed: u64) {
        let (gate, up) = (numbers(seed, m * n, 20.0), numbers(seed.wrapping_add(1), m * n, 3.0));
        let needed = reference(&gate, &up);
        for kernels in [Kernels::Portable, Kernels::Tiled] {
            let device = device(kernels);
            let y = silu_mul(kernels, tensor(&gate, [m, n], &device), tensor(&up, [m, n], &device));
            // exp on lavapipe is off by 6e-5 of its value in the worst case.
            assert_close(y, &needed, 1e-5);
        }
    }
}

#[test]
fn a_gate_beyond_what_exp_holds_gives_zero_and_not_nan() {
    let device = device(Kernels::Tiled);
    let (gate, up) = (
        tensor(&[-1e4, 1e4], [1, 2], &device),
        tensor(&[2.0, 2.0], [1, 2], &device),
    );
    assert_close(silu_mul(Kernels::Tiled, gate, up), &[0.0, 2e4], 1e-6);
}
