//! `y = x Wᵀ + b`, and the same with a low-rank adapter: `y = x Wᵀ + b + s (x Aᵀ) Bᵀ`.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::Adapter;

/// One low-rank update of a weight.
#[derive(Debug, Clone)]
pub struct Lora {
    /// `[R, K]`
    pub a: Tensor<2>,
    /// `[N, R]`, already multiplied by `alpha / R`
    pub b: Tensor<2>,
}

/// A linear layer whose adapters switch at run time; the base weight is never changed.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[N, K]`
    pub weight: Tensor<2>,
    /// `[N]`
    pub bias: Option<Tensor<1>>,
    pub adapters: BTreeMap<Adapter, Lora>,
}

impl Linear {
    /// A layer without adapters.
    pub fn new(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self {
            weight,
            bias,
            adapters: BTreeMap::new(),
        }
    }

    /// - `x`: `[M, K]`
    /// - `adapter`: the update to add, where this layer has one by that name
    /// - returns: `[M, N]`
    pub fn forward(&self, x: Tensor<2>, adapter: Option<Adapter>) -> Tensor<2> {
        let update = adapter
            .and_then(|adapter| self.adapters.get(&adapter))
            .map(|lora| product(product(x.clone(), &lora.a), &lora.b));
        let mut y = product(x, &self.weight);
        if let Some(bias) = &self.bias {
            y = y + bias.clone().unsqueeze();
        }
        match update {
            Some(update) => y + update,
            None => y,
        }
    }
}

/// `x Wᵀ`
///
/// - `x`: `[M, K]`, `w`: `[N, K]`, returns `[M, N]`
fn product(x: Tensor<2>, w: &Tensor<2>) -> Tensor<2> {
    x.matmul(w.clone().transpose())
}
