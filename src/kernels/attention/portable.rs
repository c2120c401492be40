//! Attention in Burn's own operations, in blocks of queries so that the scores in memory stay
//! bounded however long the input is.
//!
//! Letters: M = tokens, N = query heads, G = key/value heads, Q = queries of a block, S = keys,
//! D = head_dim, W = windows, L = tokens of the longest window.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation::softmax};

use super::Kind;

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

/// - `q`: `[M, N * D]`, `k`, `v`: `[M, G * D]`
/// - returns: `[M, N * D]`
pub fn attention(
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    n_heads: usize,
    kind: &Kind,
) -> Tensor<2> {
    let [n_tokens, width] = q.dims();
    let n_groups = k.dims()[1] * n_heads / width;
    let q = heads(q, n_heads);
    let k = heads(k, n_groups);
    let v = heads(v, n_groups);
    let context = match kind {
        Kind::Causal => causal(q, k, v),
        Kind::Full => full(q, k, v, None),
        Kind::Windows(windows) => windows.scatter(full(
            windows.gather(q),
            windows.gather(k),
            windows.gather(v),
            windows.key_mask(n_groups),
        )),
    };
    context.swap_dims(0, 1).reshape([n_tokens, width])
}

/// `[rows, n_heads * D]` to `[n_heads, rows, D]`
fn heads(x: Tensor<2>, n_heads: usize) -> Tensor<3> {
    let [n_rows, width] = x.dims();
    x.reshape([n_rows, n_heads, width / n_heads])
        .swap_dims(0, 1)
}

/// - `q`: `[N, M, D]`, `k`, `v`: `[G, M, D]`
/// - returns: `[N, M, D]`
///
/// A block of queries is multiplied only with the keys up to its end.
fn causal(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
    let [n_heads, n_tokens, head_dim] = q.dims();
    let n_groups = k.dims()[0];
    let heads_per_group = n_heads / n_groups;
    blocks(n_heads, n_tokens, |start, n_queries| {
        let n_keys = start + n_queries;
        // [N, Q, D] -> [G, N/G * Q, D]: the heads of a group share its keys in one product.
        let grouped = [n_groups, heads_per_group * n_queries, head_dim];
        let queries = q.clone().narrow(1, start, n_queries).reshape(grouped);
        let keys = k.clone().narrow(1, 0, n_keys);
        let values = v.clone().narrow(1, 0, n_keys);
        let shape = [n_groups, heads_per_group, n_queries, n_keys];
        let scores: Tensor<4> = scores(queries, keys).reshape(shape);
        let later: Tensor<2, Bool> =
            Tensor::tril_mask([n_queries, n_keys], start as i64, &scores.device());
        let scores = scores.mask_fill(later.unsqueeze::<4>().expand(shape), MASKED);
        let weights: Tensor<3> =
            softmax(scores, 3).reshape([n_groups, heads_per_group * n_queries, n_keys]);
        weights
            .matmul(values)
            .reshape([n_heads, n_queries, head_dim])
    })
}

/// - `q`, `k`, `v`: `[batch, M, D]`; `key_mask`: `[batch, 1, M]`, added to the scores
/// - returns: `[batch, M, D]`
fn full(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, key_mask: Option<Tensor<3>>) -> Tensor<3> {
    let [n_batch, n_tokens, _] = q.dims();
    blocks(n_batch, n_tokens, |start, n_queries| {
        let mut scores = scores(q.clone().narrow(1, start, n_queries), k.clone());
        if let Some(mask) = &key_mask {
            scores = scores + mask.clone();
        }
        softmax(scores, 2).matmul(v.clone())
    })
}

/// `q kᵀ / sqrt(D)`
fn scores(q: Tensor<3>, k: Tensor<3>) -> Tensor<3> {
    let scale = 1.0 / (q.dims()[2] as f64).sqrt();
    q.matmul(k.transpose()).mul_scalar(scale)
}

/// Computes blocks of queries, `(start, n_queries)`, and joins them along dimension 1.
fn blocks(
    n_batch: usize,
    n_tokens: usize,
    mut compute: impl FnMut(usize, usize) -> Tensor<3>,
) -> Tensor<3> {
    let block = (MAX_SCORES / (n_batch * n_tokens).max(1)).clamp(1, n_tokens.max(1));
    let mut done: Vec<Tensor<3>> = (0..n_tokens)
        .step_by(block)
        .map(|start| compute(start, block.min(n_tokens - start)))
        .collect();
    if done.len() == 1 {
        done.remove(0)
    } else {
        Tensor::cat(done, 1)
    }
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
