//! Attention in Burn's own operations, in blocks of queries so that the scores in memory stay
//! bounded however long the input is.
//!
//! Letters: M = tokens, N = query heads, G = key/value heads, Q = queries of a block, S = keys,
//! D = head_dim, W = windows, L = tokens of the longest window.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation::softmax};

use super::{Heads, KeyRanges};

/// Queries computed at once: enough for a product to run at full speed. The scores held are this
/// many for each key and head, whatever the length of the input.
const QUERIES_AT_ONCE: usize = 128;

/// Most scores held at once: 64 MiB of f32, half of the smallest binding WebGPU guarantees.
const MAX_SCORES: usize = 1 << 24;

/// Added to a score that must not count. Finite, because a shader that folds constants may not
/// hold an infinity.
const MASKED: f32 = -1e30;

/// Gathers the tokens of every window into rows of equal length.
#[derive(Debug, Clone)]
pub struct Windows {
    /// `[W * L]`: token at each place, any token where the window is shorter
    gather: Tensor<1, Int>,
    /// `[M]`: place of each token
    scatter: Tensor<1, Int>,
    /// `[W, 1, L]`: 0, or [`MASKED`] where the window is shorter; none if all are equally long
    mask: Option<Tensor<3>>,
    n_windows: usize,
    length: usize,
}

/// - `qkv`: `[M, (N + 2 G) * D]`: query heads, key heads, value heads
/// - returns: `[M, N * D]`
pub fn attention(qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
    let Heads {
        n_heads,
        n_kv_heads,
        head_dim,
    } = heads;
    let n_tokens = qkv.dims()[0];
    let columns = |first: usize, n: usize| {
        let part = qkv.clone().narrow(1, first * head_dim, n * head_dim);
        by_head(part, n)
    };
    let q = columns(0, n_heads);
    let k = columns(n_heads, n_kv_heads);
    let v = columns(n_heads + n_kv_heads, n_kv_heads);
    let context = match keys.lengths() {
        [_] => in_blocks(q, k, v, keys.is_causal(), None),
        _ => {
            let windows = keys.as_windows();
            let per_group = n_heads / n_kv_heads;
            windows.scatter(in_blocks(
                windows.gather(q),
                windows.gather(repeated(k, per_group)),
                windows.gather(repeated(v, per_group)),
                keys.is_causal(),
                windows.key_mask(n_heads),
            ))
        }
    };
    context
        .swap_dims(0, 1)
        .reshape([n_tokens, n_heads * head_dim])
}

/// `[rows, n_heads * D]` to `[n_heads, rows, D]`
fn by_head(x: Tensor<2>, n_heads: usize) -> Tensor<3> {
    let [n_rows, width] = x.dims();
    x.reshape([n_rows, n_heads, width / n_heads])
        .swap_dims(0, 1)
}

/// `[G, M, D]` to `[G * n, M, D]`: each head `n` times
fn repeated(x: Tensor<3>, n: usize) -> Tensor<3> {
    let [n_heads, n_rows, head_dim] = x.dims();
    match n {
        1 => x,
        _ => x
            .unsqueeze_dim::<4>(1)
            .repeat_dim(1, n)
            .reshape([n_heads * n, n_rows, head_dim]),
    }
}

/// Block after block of queries, each with the keys that it sees.
///
/// - `q`: `[N, M, D]`, `k`, `v`: `[G, M, D]`; `key_mask`: `[G, 1, M]`, added to the scores
/// - `is_causal`: queries see no later key
/// - returns: `[N, M, D]`
fn in_blocks(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    is_causal: bool,
    key_mask: Option<Tensor<3>>,
) -> Tensor<3> {
    let [n_heads, n_tokens, head_dim] = q.dims();
    let n_groups = k.dims()[0];
    let per_group = n_heads / n_groups;
    let block = queries_of_a_block(n_heads, n_tokens);
    let compute = |start: usize| {
        let n_queries = block.min(n_tokens - start);
        let n_keys = if is_causal {
            start + n_queries
        } else {
            n_tokens
        };
        // [N, Q, D] -> [G, N/G * Q, D]: the heads of a group share its keys in one product.
        let grouped = [n_groups, per_group * n_queries, head_dim];
        let queries = q.clone().narrow(1, start, n_queries).reshape(grouped);
        let keys = k.clone().narrow(1, 0, n_keys);
        let values = v.clone().narrow(1, 0, n_keys);
        let mut scores = scores(queries, keys);
        if let Some(mask) = &key_mask {
            scores = scores + mask.clone().narrow(2, 0, n_keys);
        }
        if is_causal {
            let shape = [n_groups, per_group, n_queries, n_keys];
            let later: Tensor<2, Bool> =
                Tensor::tril_mask([n_queries, n_keys], start as i64, &scores.device());
            scores = scores
                .reshape(shape)
                .mask_fill(later.unsqueeze::<4>().expand(shape), MASKED)
                .reshape([n_groups, per_group * n_queries, n_keys]);
        }
        softmax(scores, 2)
            .matmul(values)
            .reshape([n_heads, n_queries, head_dim])
    };
    let mut done: Vec<Tensor<3>> = (0..n_tokens).step_by(block).map(compute).collect();
    if done.len() == 1 {
        done.remove(0)
    } else {
        Tensor::cat(done, 1)
    }
}

/// Queries whose scores are held at once: their number does not grow with the tokens.
fn queries_of_a_block(n_heads: usize, n_tokens: usize) -> usize {
    (MAX_SCORES / (n_heads * n_tokens).max(1)).clamp(1, QUERIES_AT_ONCE)
}

/// `q kᵀ / sqrt(D)`
fn scores(q: Tensor<3>, k: Tensor<3>) -> Tensor<3> {
    let scale = 1.0 / (q.dims()[2] as f64).sqrt();
    q.matmul(k.transpose()).mul_scalar(scale)
}

impl Windows {
    /// - `lengths`: tokens of each window, one window after the other
    pub fn new(lengths: &[usize], device: &Device) -> Self {
        let n_windows = lengths.len();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut gather = Vec::with_capacity(n_windows * length);
        let mut scatter = Vec::new();
        let mut mask = vec![0.0f32; n_windows * length];
        let mut first = 0;
        for (window, n_tokens) in lengths.iter().enumerate() {
            for place in 0..length {
                if place < *n_tokens {
                    gather.push((first + place) as i32);
                    scatter.push((window * length + place) as i32);
                } else {
                    gather.push(first as i32);
                    mask[window * length + place] = MASKED;
                }
            }
            first += n_tokens;
        }
        let ragged = lengths.iter().any(|n_tokens| *n_tokens != length);
        let indices = |rows: Vec<i32>| {
            let n_rows = rows.len();
            Tensor::from_data(TensorData::new(rows, [n_rows]), device)
        };
        Self {
            gather: indices(gather),
            scatter: indices(scatter),
            mask: ragged
                .then(|| Tensor::from_data(TensorData::new(mask, [n_windows, 1, length]), device)),
            n_windows,
            length,
        }
    }

    /// `[heads, M, D]` to `[heads * W, L, D]`
    fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        let [n_heads, _, head_dim] = x.dims();
        x.select(1, self.gather.clone())
            .reshape([n_heads * self.n_windows, self.length, head_dim])
    }

    /// `[heads * W, L, D]` to `[heads, M, D]`
    fn scatter(&self, x: Tensor<3>) -> Tensor<3> {
        let [n_batch, length, head_dim] = x.dims();
        let n_heads = n_batch / self.n_windows;
        x.reshape([n_heads, self.n_windows * length, head_dim])
            .select(1, self.scatter.clone())
    }

    /// The mask of every head: `[heads * W, 1, L]`
    fn key_mask(&self, n_heads: usize) -> Option<Tensor<3>> {
        self.mask
            .as_ref()
            .map(|mask| mask.clone().repeat_dim(0, n_heads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_held_for_a_token_do_not_grow_with_the_tokens() {
        let of_a_token = |n_tokens| 16 * queries_of_a_block(16, n_tokens);
        assert_eq!(of_a_token(8192), of_a_token(512));
        assert!(of_a_token(100_000) < of_a_token(512));
    }
}
