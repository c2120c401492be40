//! Softmax attention in which every query sees one range of neighbouring keys: all keys up to its
//! own (the decoder), its window, or the whole picture (the vision tower).
//!
//! No form holds the scores of all queries at once: memory grows with the tokens, not their square.
//!
//! Letters: M = tokens, N = query heads, G = key/value heads (N is a multiple), D = head_dim.

mod host;
mod key_ranges;
mod portable;
mod shaders;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::{AttentionForm, Kernels};
pub use key_ranges::KeyRanges;

/// The heads side by side in a row of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_heads: usize,
    /// Key heads, and as many value heads; a divisor of `n_heads`. Query head `h` looks at
    /// key head `h * n_kv_heads / n_heads`.
    pub n_kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

/// `softmax(q kᵀ / sqrt(D)) v`, each head of each query over the keys that the query sees.
///
/// - `qkv`: `[M, (N + 2 G) * D]`: query heads, key heads, value heads; queries and keys rotated
/// - `keys`: of M tokens
/// - returns: `[M, N * D]`
///
/// The shaders hold heads of up to 128 numbers, a multiple of 4; others take the portable form.
pub fn attention(kernels: Kernels, qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
    match kernels {
        Kernels::Host => host::attention(&qkv, heads, keys)
            .unwrap_or_else(|| portable::attention(qkv, heads, keys)),
        Kernels::Gpu(forms) if shaders::fits(heads.head_dim) => match forms.attention {
            AttentionForm::Registers => shaders::direct(qkv, heads, keys),
            AttentionForm::Tiles => shaders::tiled(qkv, heads, keys),
        },
        Kernels::Gpu(_) | Kernels::Portable => portable::attention(qkv, heads, keys),
    }
}
