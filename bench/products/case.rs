//! One product `[M, K] · [N, K]ᵀ` with random numbers: its matrix, its rows, and how far off it is.
//!
//! Natively a library for `native.rs`; in WebAssembly the module that `wasm.mjs` loads.

#[cfg(all(target_family = "wasm", feature = "relaxed"))]
mod relaxed;

use jina_embeddings_web::{
    cpu::{Attention, Level, Matrix, MatrixBuilder, Product, Rows, Threads},
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

/// Causal attention of one text with random numbers, of the published model's heads.
pub struct Heads {
    /// `[M, (N + 2 G) * D]`
    qkv: Vec<f32>,
    /// `[M, N * D]`
    y: Vec<f32>,
}

impl Heads {
    const N: usize = 16;
    const G: usize = 2;
    const D: usize = 128;

    pub fn new(m: usize) -> Heads {
        Heads {
            qkv: numbers(5, m * (Self::N + 2 * Self::G) * Self::D),
            y: vec![0.0; m * Self::N * Self::D],
        }
    }

    pub fn run(&mut self, level: Level, threads: Threads) {
        let m = self.y.len() / (Self::N * Self::D);
        let attention = Attention {
            n_heads: Self::N,
            n_kv_heads: Self::G,
            head_dim: Self::D,
            spans: &[m],
            is_causal: true,
        };
        attention.run(level, threads, &self.qkv, &mut self.y);
    }

    /// Multiplications and additions of scores and values that a text of m tokens needs.
    pub fn operations(m: usize) -> f64 {
        4.0 * (Self::N * Self::D) as f64 * (m * (m + 1) / 2) as f64
    }
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
        static HEADS: RefCell<Option<Heads>> = const { RefCell::new(None) };
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

    #[unsafe(no_mangle)]
    extern "C" fn set_up_attention(m: usize) -> f64 {
        HEADS.set(Some(Heads::new(m)));
        Heads::operations(m)
    }

    #[unsafe(no_mangle)]
    extern "C" fn run_attention() {
        HEADS.with_borrow_mut(|heads| {
            if let Some(heads) = heads {
                heads.run(Level::best(), Threads::ONE);
            }
        });
    }

    #[cfg(feature = "relaxed")]
    mod with_relaxed {
        use super::*;
        use crate::relaxed::{Floats, Matrix};

        enum Form {
            Dot(Matrix),
            Float(Floats),
        }

        thread_local! {
            static FORM: RefCell<Option<Form>> = const { RefCell::new(None) };
        }

        /// The matrix of the case in its relaxed form; 0 where its type has none.
        #[unsafe(no_mangle)]
        extern "C" fn set_up_relaxed(type_id: u32) -> u32 {
            let form = TensorType::from_id(type_id).and_then(|it| match it {
                TensorType::F32 => CASE
                    .with_borrow(|case| Some(Form::Float(Floats::new([N, K], &case.as_ref()?.w)))),
                _ => Some(Form::Dot(Matrix::new(it, [N, K], &blocks(it))?)),
            });
            let is_made = form.is_some();
            FORM.set(form);
            u32::from(is_made)
        }

        #[unsafe(no_mangle)]
        extern "C" fn run_relaxed() {
            with(|form, Case { x, y, .. }| match form {
                Form::Dot(matrix) => matrix.multiply(x, y),
                Form::Float(matrix) => matrix.multiply::<true>(x, y),
            });
        }

        /// The f32 product in the same loops, without the fused multiply-add.
        #[unsafe(no_mangle)]
        extern "C" fn run_unfused() {
            with(|form, Case { x, y, .. }| {
                if let Form::Float(matrix) = form {
                    matrix.multiply::<false>(x, y);
                }
            });
        }

        fn with(work: impl Fn(&Form, &mut Case)) {
            FORM.with_borrow(|form| {
                CASE.with_borrow_mut(|case| {
                    if let (Some(form), Some(case)) = (form, case) {
                        work(form, case);
                    }
                });
            });
        }
    }
}
