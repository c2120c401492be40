//! Scaled dot-product attention over heads, computed in blocks of queries so that the scores in
//! memory stay bounded however long the input is.
//!
//! Letters: H = query heads, G = key/value heads (H is a multiple), Q = queries, S = keys,
//! D = head_dim.

use burn::tensor::{Bool, Tensor, activation::softmax};

/// Most scores held at once: 64 MiB of f32, half of the smallest binding WebGPU guarantees.
const MAX_SCORES: usize = 1 << 24;

/// Added to a score that must not count. Finite, because a shader that folds constants may not
/// hold an infinity.
pub const MASKED: f32 = -1e30;

/// - `q`: `[H, T, D]`, `k`, `v`: `[G, T, D]`
/// - returns: `[T, H * D]`
///
/// Causal attention with grouped queries: query head h reads key/value head `h / (H / G)`.
/// A block of queries is multiplied only with the keys up to its end.
pub fn causal_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
    let [n_heads, n_tokens, head_dim] = q.dims();
    let n_groups = k.dims()[0];
    let heads_per_group = n_heads / n_groups;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let block = block_size(n_heads, n_tokens);

    let mut contexts = Vec::with_capacity(n_tokens.div_ceil(block));
    for start in (0..n_tokens).step_by(block) {
        let n_queries = block.min(n_tokens - start);
        let n_keys = start + n_queries;
        // [H, Q, D] -> [G, H/G * Q, D]: the heads of a group share its keys in one product.
        let queries = q.clone().narrow(1, start, n_queries).reshape([
            n_groups,
            heads_per_group * n_queries,
            head_dim,
        ]);
        let keys = k.clone().narrow(1, 0, n_keys);
        let values = v.clone().narrow(1, 0, n_keys);
        let scores = queries.matmul(keys.transpose()).mul_scalar(scale);
        let scores: Tensor<4> = scores.reshape([n_groups, heads_per_group, n_queries, n_keys]);
        let hidden: Tensor<2, Bool> =
            Tensor::tril_mask([n_queries, n_keys], start as i64, &scores.device());
        let scores = scores.mask_fill(
            hidden
                .unsqueeze::<4>()
                .expand([n_groups, heads_per_group, n_queries, n_keys]),
            MASKED,
        );
        let weights: Tensor<3> =
            softmax(scores, 3).reshape([n_groups, heads_per_group * n_queries, n_keys]);
        let context = weights
            .matmul(values)
            .reshape([n_heads, n_queries, head_dim]);
        contexts.push(context);
    }
    let context = if contexts.len() == 1 {
        contexts.remove(0)
    } else {
        Tensor::cat(contexts, 1)
    };
    context
        .swap_dims(0, 1)
        .reshape([n_tokens, n_heads * head_dim])
}

/// - `q`, `k`, `v`: `[batch, T, D]`, where batch runs over windows and heads
/// - `key_mask`: `[batch, 1, T]`, added to the scores, [`MASKED`] where a key does not count
/// - returns: `[batch, T, D]`
///
/// Attention without an order among the tokens, for the vision tower.
pub fn full_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    key_mask: Option<Tensor<3>>,
) -> Tensor<3> {
    let [n_batch, n_tokens, head_dim] = q.dims();
    let scale = 1.0 / (head_dim as f64).sqrt();
    let block = block_size(n_batch, n_tokens);
    let keys = k.transpose();
    let mut contexts = Vec::with_capacity(n_tokens.div_ceil(block));
    for start in (0..n_tokens).step_by(block) {
        let n_queries = block.min(n_tokens - start);
        let queries = q.clone().narrow(1, start, n_queries);
        let mut scores = queries.matmul(keys.clone()).mul_scalar(scale);
        if let Some(mask) = &key_mask {
            scores = scores + mask.clone();
        }
        contexts.push(softmax(scores, 2).matmul(v.clone()));
    }
    if contexts.len() == 1 {
        contexts.remove(0)
    } else {
        Tensor::cat(contexts, 1)
    }
}

/// Queries per block, so that `n_batch * block * n_tokens` scores fit in [`MAX_SCORES`].
fn block_size(n_batch: usize, n_tokens: usize) -> usize {
    (MAX_SCORES / (n_batch * n_tokens).max(1)).clamp(1, n_tokens.max(1))
}
