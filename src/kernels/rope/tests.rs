//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::{
    Kernels,
    testing::{assert_close, device, numbers, tensor},
};

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
    fn it_equals_the_plain_loop_and_turns_back(m in 1usize..131, n_heads in 1usize..9, quarter in 1usize..33, seed: u64) {
        let head_dim = quarter * 4;
        let x = numbers(seed, m * n_heads * head_dim, 3.0);
        let angles = numbers(seed.wrapping_add(1), m * head_dim / 2, 100.0);
        let half = |f: fn(f32) -> f32| -> Vec<f32> { angles.iter().copied().map(f).collect() };
        let (cos, sin) = (half(f32::cos), half(f32::sin));
        let whole = |table: &[f32]| -> Vec<f32> {
            table.chunks(head_dim / 2).flat_map(|row| [row, row].concat()).collect()
        };
        let needed = reference(&x, &whole(&cos), &whole(&sin), n_heads, head_dim);
        let device = device(Kernels::Portable);
        let table = RopeTable::new(&cos, &sin, head_dim, &device);
        let y = portable(tensor(&x, [m, n_heads * head_dim], &device), &table);
        assert_close(y.clone(), &needed, 1e-6);
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        assert_close(portable(y, &table.inverse()), &x, 1e-6);
    }
}
