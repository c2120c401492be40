//! One product `[M, K] · [N, K]ᵀ` with random numbers: its matrix, its rows, and how far off it is.
//!
//! Natively a library for `native.rs`; in WebAssembly the module that `wasm.mjs` loads.

use jina_embeddings_web::{
    cpu::{Level, Matrix, MatrixBuilder, Product, Rows, Threads},
    gguf::{self, TensorType},
};

pub const N: usize = 2048;
pub const K: usize = 2048;

pub struct Case {
    matrix: Matrix,
    /// The values of the matrix, row-major.
    pub w: Vec<f32>,
    /// `[M, K]`
    pub x: Vec<f32>,
    /// `[M, N]`
    pub y: Vec<f32>,
}

/// Numbers in `-1..1` that depend on the seed alone (a linear congruence).
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A tensor of any codes, and of scales around 1/16.
fn blocks(tensor_type: TensorType) -> Vec<u8> {
    const EXPONENT: u8 = 0x2c;
    let n_blocks = N * K / tensor_type.block_elements();
    let random = numbers(3, n_blocks * tensor_type.block_bytes());
    let mut bytes: Vec<u8> = random.iter().map(|x| (x * 128.0) as i8 as u8).collect();
    // The upper bytes of a block's halves.
    let halves: &[usize] = match tensor_type {
        TensorType::F32 => &[3],
        TensorType::Q2_K => &[81, 83],
        TensorType::Q3_K => &[109],
        TensorType::Q6_K => &[209],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[1, 3],
        _ => &[1],
    };
    for block in bytes.chunks_exact_mut(tensor_type.block_bytes()) {
        for at in halves {
            block[*at] = match tensor_type {
                // Of either sign, in f32 and bf16 around 1/16 too.
                TensorType::F32 | TensorType::BF16 => block[*at] & 0x80 | 0x3d,
                _ => block[*at] & 0x80 | EXPONENT,
            };
        }
    }
    bytes
}

impl Case {
    /// `None` where the matrix cannot be made.
    pub fn new(tensor_type: TensorType, m: usize) -> Option<Case> {
        let bytes = blocks(tensor_type);
        let mut builder = MatrixBuilder::new(tensor_type, [N, K]).ok()?;
        builder.push(&bytes).ok()?;
        let mut w = vec![0.0; N * K];
        gguf::dequantize(tensor_type, &bytes, &mut w).ok()?;
        Some(Case {
            matrix: builder.finish().ok()?,
            w,
            x: numbers(7, m * K),
            y: vec![0.0; m * N],
        })
    }

    pub fn run(&mut self, level: Level, threads: Threads) {
        let x = Rows::new(&self.x, K);
        Product::new(&self.matrix).run(level, threads, x, &mut self.y);
    }

    /// The error of some of the result, over its size: both as root mean squares.
    pub fn error(&self) -> f64 {
        let (mut errors, mut squares) = (0.0, 0.0);
        for row in [0, self.x.len() / K - 1] {
            for column in (0..N).step_by(61) {
                let (x, w) = (&self.x[row * K..][..K], &self.w[column * K..][..K]);
                let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let needed: f64 = terms.sum();
                errors += (f64::from(self.y[row * N + column]) - needed).powi(2);
                squares += needed.powi(2);
            }
        }
        (errors / squares).sqrt()
    }
}

#[cfg(target_family = "wasm")]
mod face {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static CASE: RefCell<Option<Case>> = const { RefCell::new(None) };
    }

    /// Makes a case; 0 where that failed.
    #[unsafe(no_mangle)]
    extern "C" fn set_up(type_id: u32, m: usize) -> u32 {
        let case = TensorType::from_id(type_id).and_then(|it| Case::new(it, m));
        let is_made = case.is_some();
        CASE.set(case);
        u32::from(is_made)
    }

    #[unsafe(no_mangle)]
    extern "C" fn run() {
        CASE.with_borrow_mut(|case| {
            if let Some(case) = case {
                case.run(Level::best(), Threads::ONE);
            }
        });
    }

    #[unsafe(no_mangle)]
    extern "C" fn error() -> f64 {
        CASE.with_borrow(|case| case.as_ref().map_or(f64::NAN, Case::error))
    }
}
