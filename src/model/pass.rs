//! How one forward pass is computed.

use burn::tensor::Tensor;

use crate::kernels::{self, Heads, Kernels, KeyRanges};

use super::Adapter;

/// What every layer of a pass needs to know beside its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The low-rank updates to add; none for merged weights and for the vision tower.
    pub adapter: Option<Adapter>,
    /// The form of the operations.
    pub kernels: Kernels,
}

/// Attention of projections made one by one.
///
/// - `q`: `[M, n_heads * head_dim]`, `k`, `v`: `[M, n_kv_heads * head_dim]`
/// - returns: `[M, n_heads * head_dim]`
pub(super) fn attention(
    pass: Pass,
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    n_heads: usize,
    keys: &KeyRanges,
) -> Tensor<2> {
    let head_dim = q.dims()[1] / n_heads;
    let heads = Heads {
        n_heads,
        n_kv_heads: k.dims()[1] / head_dim,
        head_dim,
    };
    kernels::attention(pass.kernels, Tensor::cat(vec![q, k, v], 1), heads, keys)
}
