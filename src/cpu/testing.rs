//! What the tests of this module share.

use std::num::NonZeroUsize;

use super::{Matrix, MatrixBuilder, Threads};
use crate::gguf::{self, TensorType};

/// Numbers that depend on the seed alone (a linear congruence).
pub fn random(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::from_fn(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 32) as u32)
    })
}

/// Numbers in `-magnitude..magnitude`.
pub fn numbers(seed: u64, n: usize, magnitude: f32) -> Vec<f32> {
    let unit = random(seed).map(|bits| (bits >> 8) as f32 / (1u32 << 23) as f32 - 1.0);
    unit.map(|unit| unit * magnitude).take(n).collect()
}

/// Bytes of a tensor of this type: any codes, and finite scales of both signs around `2^exponent`.
pub fn blocks(tensor_type: TensorType, n_elements: usize, seed: u64, exponent: i32) -> Vec<u8> {
    let n_blocks = n_elements / tensor_type.block_elements();
    let mut random = random(seed);
    let mut next = || random.next().expect("no end");
    let mut bytes = Vec::new();
    for _ in 0..n_blocks {
        let mut block: Vec<u8> = (0..tensor_type.block_bytes())
            .map(|_| next() as u8)
            .collect();
        let mut half = |at: usize| {
            let sign = (next() as u16 & 1) << 15;
            let bits = sign | ((15 + exponent) as u16) << 10 | next() as u16 & 0x3ff;
            block[at..at + 2].copy_from_slice(&bits.to_le_bytes());
        };
        match tensor_type {
            TensorType::F32 => {
                let value = numbers(u64::from(next()), 1, 2.0f32.powi(exponent))[0];
                block.copy_from_slice(&value.to_le_bytes());
            }
            // The upper half of an f32, and its exponent.
            TensorType::BF16 => {
                let value = numbers(u64::from(next()), 1, 2.0f32.powi(exponent))[0];
                block.copy_from_slice(&value.to_le_bytes()[2..]);
            }
            TensorType::Q2_K => [80, 82].into_iter().for_each(half),
            TensorType::Q3_K => half(108),
            TensorType::Q6_K => half(208),
            TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => {
                [0, 2].into_iter().for_each(half);
            }
            _ => half(0),
        }
        bytes.extend(block);
    }
    bytes
}

/// A matrix, and its values.
pub fn matrix(
    tensor_type: TensorType,
    [n, k]: [usize; 2],
    seed: u64,
    exponent: i32,
) -> (Matrix, Vec<f32>) {
    let bytes = blocks(tensor_type, n * k, seed, exponent);
    let mut values = vec![0.0; n * k];
    gguf::dequantize(tensor_type, &bytes, &mut values).expect("whole blocks");
    (build(tensor_type, [n, k], &bytes, usize::MAX), values)
}

pub fn build(tensor_type: TensorType, shape: [usize; 2], bytes: &[u8], chunk: usize) -> Matrix {
    let mut builder = MatrixBuilder::new(tensor_type, shape).expect("whole blocks");
    for chunk in bytes.chunks(chunk) {
        builder.push(chunk).expect("not too many");
    }
    builder.finish().expect("all bytes")
}

pub fn threads(n: usize) -> Threads {
    Threads::at_most(NonZeroUsize::new(n).expect("a thread"))
}

/// `Σ a b` in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}
