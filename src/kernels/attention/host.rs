//! Attention on the processor.

use burn::tensor::Tensor;

use crate::{
    cpu,
    kernels::host::{Values, resources, tensor, zeros},
};

use super::{Heads, KeyRanges};

/// `None` if the tensor is not the processor's.
pub fn attention(qkv: &Tensor<2>, heads: Heads, keys: &KeyRanges) -> Option<Tensor<2>> {
    let (level, threads) = resources();
    let Heads {
        n_heads,
        n_kv_heads,
        head_dim,
    } = heads;
    let shape = [qkv.dims()[0], n_heads * head_dim];
    let mut y = zeros(shape[0] * shape[1]);
    let attention = cpu::Attention {
        n_heads,
        n_kv_heads,
        head_dim,
        spans: keys.lengths(),
        is_causal: keys.is_causal(),
    };
    attention.run(level, threads, Values::of(qkv)?.as_slice(), &mut y);
    Some(tensor(y, shape))
}
