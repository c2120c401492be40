//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::{assert_close, device, numbers, tensor};

fn reference(x: &[f32], cos: &[f32], sin: &[f32], n_heads: usize, head_dim: usize) -> Vec<f64> {
    let half = head_dim / 2;
    let mut y = Vec::with_capacity(x.len());
    for (row, values) in x.chunks(n_heads * head_dim).enumerate() {
        for head in values.chunks(head_dim) {
            for channel in 0..head_dim {
                let at = row * head_dim + channel;
                let other = match channel < half {
                    true => -f64::from(head[channel + half]),
                    false => f64::from(head[channel - half]),
                };
                y.push(f64::from(head[channel]) * f64::from(cos[at]) + other * f64::from(sin[at]));
            }
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_form_equals_the_plain_loop(m in 1usize..131, n_heads in 1usize..9, quarter in 1usize..33, seed: u64) {
        let head_dim = quarter * 4;
        let x = numbers(seed, m * n_heads * head_dim, 3.0);
        let angles = numbers(seed.wrapping_add(1), m * head_dim / 2, 100.0);
        let table = |f: fn(f32) -> f32| -> Vec<f32> {
            angles
                .chunks(head_dim / 2)
                .flat_map(|row| [row, row].concat())
                .map(f)
                .collect()
        };
        let (cos, sin) = (table(f32::cos), table(f32::sin));
        let needed = reference(&x, &cos, &sin, n_heads, head_dim);
        for kernels in [Kernels::Portable, Kernels::Tiled] {
            let device = device(kernels);
            let table = RopeTable::new(cos.clone(), sin.clone(), head_dim, &device);
            let y = rope(kernels, tensor(&x, [m, n_heads * head_dim], &device), &table);
            assert_close(y, &needed, 1e-6);
        }
    }
}
