//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::{assert_close, device, numbers, tensor};

/// Softmax attention of one head after the other; `ranges` holds each query's keys.
fn reference(
    [q, k, v]: [&[f32]; 3],
    ranges: &[(usize, usize)],
    n_heads: usize,
    n_groups: usize,
    head_dim: usize,
) -> Vec<f64> {
    let mut y = vec![0.0; q.len()];
    for (m, (start, end)) in ranges.iter().enumerate() {
        for head in 0..n_heads {
            let group = head / (n_heads / n_groups);
            let of = |x: &[f32], row: usize, heads: usize, head: usize, d: usize| {
                f64::from(x[(row * heads + head) * head_dim + d])
            };
            let scores: Vec<f64> = (*start..*end)
                .map(|j| {
                    let dot: f64 = (0..head_dim)
                        .map(|d| of(q, m, n_heads, head, d) * of(k, j, n_groups, group, d))
                        .sum();
                    dot / (head_dim as f64).sqrt()
                })
                .collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            for (j, score) in (*start..*end).zip(&scores) {
                let weight = (score - largest).exp() / total;
                for d in 0..head_dim {
                    y[(m * n_heads + head) * head_dim + d] += weight * of(v, j, n_groups, group, d);
                }
            }
        }
    }
    y
}

fn check(
    lengths: &[usize],
    causal: bool,
    n_groups: usize,
    per_group: usize,
    head_dim: usize,
    magnitude: f32,
    seed: u64,
) {
    let n_tokens = lengths.iter().sum();
    let n_heads = n_groups * per_group;
    let q = numbers(seed, n_tokens * n_heads * head_dim, magnitude);
    let k = numbers(
        seed.wrapping_add(1),
        n_tokens * n_groups * head_dim,
        magnitude,
    );
    let v = numbers(seed.wrapping_add(2), n_tokens * n_groups * head_dim, 2.0);
    let mut ranges = Vec::new();
    for length in lengths {
        let start = ranges.len();
        ranges.extend((0..*length).map(|m| (start, if causal { m + 1 } else { start + length })));
    }
    let needed = reference([&q, &k, &v], &ranges, n_heads, n_groups, head_dim);
    for kernels in [Kernels::Portable, Kernels::Tiled, Kernels::Direct] {
        let device = device(kernels);
        let keys = match (causal, lengths.len()) {
            (true, _) => KeyRanges::causal(n_tokens, &device),
            (false, 1) => KeyRanges::full(n_tokens, &device),
            (false, _) => KeyRanges::windows(lengths, &device),
        };
        let y = attention(
            kernels,
            Tensor::cat(vec![
            tensor(&q, [n_tokens, n_heads * head_dim], &device),
            tensor(&k, [n_tokens, n_groups * head_dim], &device),
            tensor(&v, [n_tokens, n_groups * head_dim], &device)], 1),
            Heads { n_heads, n_kv_heads: n_groups, head_dim },
            &keys,
        );
        assert_close(y, &needed, 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn causal_attention_with_grouped_heads_equals_the_plain_loop(
        m in 1usize..131, n_groups in 1usize..3, per_group in 1usize..5, quarter in 1usize..33, seed: u64,
    ) {
        check(&[m], true, n_groups, per_group, quarter * 4, 1.0, seed);
    }

    #[test]
    fn attention_within_ragged_windows_equals_the_plain_loop(
        lengths in prop::collection::vec(1usize..40, 1..6), n_heads in 1usize..5, quarter in 1usize..21, seed: u64,
    ) {
        check(&lengths, false, n_heads, 1, quarter * 4, 1.0, seed);
    }
}

#[test]
fn scores_far_beyond_what_exp_holds_do_not_overflow() {
    check(&[33], true, 1, 2, 32, 12.0, 7);
}
