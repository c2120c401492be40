//! `y = x Wᵀ + b`, and the same with a low-rank adapter: `y = x Wᵀ + b + s (x Aᵀ) Bᵀ`.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::kernels::{self, Finish, LowRank, Weight};

use super::{Adapter, Pass};

/// A linear layer, or several of the same input, whose adapters switch at run time; the base
/// weight is never changed.
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

    /// The update of the pass's task.
    pub fn low_rank(&self, pass: Pass) -> Option<&LowRank> {
        self.adapters.get(&pass.adapter?)
    }

    /// With the update, whose coordinates x brings along.
    ///
    /// - `x`: `[M, K]`, or `[M, K + parts * R]` with an adapter
    /// - returns: `[M, N]`, or half of it after [`Finish::SiluMul`]
    pub fn forward(&self, x: Tensor<2>, pass: Pass, finish: Finish) -> Tensor<2> {
        let product = kernels::Linear {
            bias: self.bias.as_ref(),
            low_rank: self.low_rank(pass),
            finish,
            ..kernels::Linear::new(&self.weight)
        };
        product.run(pass.kernels, x)
    }

    /// Without the update, but with its coordinates behind the result, for whoever adds it.
    ///
    /// - `x`: `[M, K]`
    /// - returns: `[M, N]`, or `[M, N + R]` with an adapter
    pub fn forward_with_coordinates(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.with_coordinates(pass).run(pass.kernels, x)
    }

    /// The same in slices that are yet to be added up, which the norm that follows does in passing.
    ///
    /// - returns: `[S * M, N]`, or `[S * M, N + R]`; see [`kernels::Linear::run_in_slices`]
    pub fn forward_in_slices(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.with_coordinates(pass).run_in_slices(pass.kernels, x)
    }

    fn with_coordinates(&self, pass: Pass) -> kernels::Linear<'_> {
        kernels::Linear {
            bias: self.bias.as_ref(),
            appended: self.low_rank(pass).map(|update| &update.a),
            ..kernels::Linear::new(&self.weight)
        }
    }

    /// The whole layer at once, where nothing else can make the coordinates.
    ///
    /// - `x`: `[M, K]`
    /// - returns: `[M, N]`
    pub fn forward_whole(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        let x = match self.low_rank(pass) {
            None => x,
            Some(update) => {
                let t = kernels::Linear::new(&update.a).run(pass.kernels, x.clone());
                Tensor::cat(vec![x, t], 1)
            }
        };
        self.forward(x, pass, Finish::Plain)
    }
}
