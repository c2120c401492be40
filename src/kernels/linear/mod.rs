//! `y = finish(x Wᵀ + bias + t Bᵀ)`: every product of the model, with what follows it.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.
//!
//! A low-rank update `(x Aᵀ) Bᵀ` takes two products. The first rides along with whatever makes x:
//! rows of A are appended to the matrix before, or multiplied by the norm ([`super::add_norm`]), so
//! x arrives as `[M, K + R]` with its coordinates `t = x Aᵀ` behind it, and no launch is spent.

mod fused;
mod host;
mod portable;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::{Kernels, RopeTable, Weight};

pub use fused::{MAX_SLICED_VALUES, MAX_SLICES};

/// A low-rank update of a weight, or of several stacked ones, each with its own pair.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[parts * R, K]`
    pub a: Weight,
    /// `[N, R]`
    pub b: Weight,
    /// `alpha / R`
    pub scale: f32,
}

impl LowRank {
    /// R
    pub fn rank(&self) -> usize {
        self.b.dims()[1]
    }
}

/// What is done with a product before it is written.
#[derive(Debug, Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing.
    Plain,
    /// Rotates the heads among the first `n_rotated` columns: queries and keys, not values.
    Rotate {
        table: &'a RopeTable,
        n_rotated: usize,
    },
    /// `silu(gate) * up`, of the gate in the first half of the columns and up in the second.
    SiluMul,
}

/// A product and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// `[N, K]`
    pub weight: &'a Weight,
    /// `[N]`
    pub bias: Option<&'a Tensor<1>>,
    /// Its coordinates come with x.
    pub low_rank: Option<&'a LowRank>,
    /// `[R, K]`: more rows to multiply with, without bias. Only with [`Finish::Plain`].
    pub appended: Option<&'a Weight>,
    pub finish: Finish<'a>,
}

impl<'a> Linear<'a> {
    /// A product alone.
    pub fn new(weight: &'a Weight) -> Self {
        Self {
            weight,
            bias: None,
            low_rank: None,
            appended: None,
            finish: Finish::Plain,
        }
    }

    /// Computes it.
    ///
    /// - `x`: `[M, K]`, or `[M, K + parts * R]` with a low-rank update
    /// - returns: `[M, N]`; `[M, N + R]` with appended rows; `[M, N / 2]` after [`Finish::SiluMul`]
    pub fn run(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        match kernels {
            Kernels::Portable => portable::run(self, x),
            Kernels::Host => host::run(self, &x).unwrap_or_else(|| portable::run(self, x)),
            Kernels::Gpu(forms) => {
                fused::run(self, &forms, &x, false).unwrap_or_else(|| portable::run(self, x))
            }
        }
    }

    /// Computes it in slices of K where that fills a graphics device better, for whoever adds up a
    /// product anyway. Only with [`Finish::Plain`].
    ///
    /// - returns: `[S * M, N]`, or with appended rows `[S * M, N + R]`: S matrices one after the
    ///   other, whose sum is the product
    pub fn run_in_slices(&self, kernels: Kernels, x: Tensor<2>) -> Tensor<2> {
        match kernels {
            Kernels::Gpu(forms) => {
                fused::run(self, &forms, &x, true).unwrap_or_else(|| portable::run(self, x))
            }
            _ => self.run(kernels, x),
        }
    }
}
