//! `y = x Wᵀ + b`, and the same with a low-rank adapter: `y = x Wᵀ + b + s (x Aᵀ) Bᵀ`.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::kernels::{self, LowRank, Weight};

use super::{Adapter, Pass};

/// A linear layer whose adapters switch at run time; the base weight is never changed.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[N, K]`
    pub weight: Weight,
    /// `[N]`
    pub bias: Option<Tensor<1>>,
    pub adapters: BTreeMap<Adapter, LowRank>,
}

impl Linear {
    /// A layer without adapters.
    pub fn new(weight: Weight, bias: Option<Tensor<1>>) -> Self {
        Self {
            weight,
            bias,
            adapters: BTreeMap::new(),
        }
    }

    /// - `x`: `[M, K]`
    /// - returns: `[M, N]`
    pub fn forward(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.run(x, None, pass)
    }

    /// The same, added to `residual` `[M, N]`.
    pub fn forward_onto(&self, residual: Tensor<2>, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.run(x, Some(residual), pass)
    }

    fn run(&self, x: Tensor<2>, residual: Option<Tensor<2>>, pass: Pass) -> Tensor<2> {
        let update = pass.adapter.and_then(|adapter| self.adapters.get(&adapter));
        kernels::linear(
            pass.kernels,
            x,
            &self.weight,
            self.bias.as_ref(),
            update,
            residual,
        )
    }
}
