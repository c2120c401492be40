//! Attention at every level against softmax in f64, over spans that fit no tile.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::cpu::testing::{dot, numbers, threads};

/// Attention by its definition.
fn reference(attention: &Attention, qkv: &[f32]) -> Vec<f64> {
    let Attention {
        n_heads,
        n_kv_heads,
        head_dim: d,
        ..
    } = *attention;
    let stride = (n_heads + 2 * n_kv_heads) * d;
    let head = |token: usize, head: usize| &qkv[token * stride + head * d..][..d];
    let mut y = Vec::new();
    let mut start = 0;
    for n_tokens in attention.spans {
        for token in start..start + n_tokens {
            let end = match attention.is_causal {
                true => token + 1,
                false => start + n_tokens,
            };
            for query in 0..n_heads {
                let group = query * n_kv_heads / n_heads;
                let scores: Vec<f64> = (start..end)
                    .map(|key| {
                        dot(head(token, query), head(key, n_heads + group)) / (d as f64).sqrt()
                    })
                    .collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let mut output = vec![0.0; d];
                for (key, weight) in (start..end).zip(weights) {
                    let value = head(key, n_heads + n_kv_heads + group);
                    for (output, value) in output.iter_mut().zip(value) {
                        *output += weight / sum * f64::from(*value);
                    }
                }
                y.extend(output);
            }
        }
        start += n_tokens;
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_head_of_every_query_is_a_softmax_over_the_keys_it_sees(
        spans in vec(1usize..250, 1..4),
        (n_heads, n_kv_heads) in select(vec![(1, 1), (8, 1), (6, 2), (3, 3), (10, 2)]),
        head_dim in select(vec![4usize, 20, 32, 80, 128, 140]),
        is_causal: bool,
        // From all keys alike to one key alone.
        magnitude in select(vec![0.01f32, 1.0, 30.0]),
        seed: u64,
    ) {
        let attention = Attention { n_heads, n_kv_heads, head_dim, spans: &spans, is_causal };
        let m: usize = spans.iter().sum();
        let qkv = numbers(seed, m * (n_heads + 2 * n_kv_heads) * head_dim, magnitude);
        let needed = reference(&attention, &qkv);
        for level in Level::available() {
            let mut y = vec![f32::NAN; needed.len()];
            attention.run(level, threads(2), &qkv, &mut y);
            for (at, (found, needed)) in y.iter().zip(&needed).enumerate() {
                let error = (f64::from(*found) - needed).abs();
                // Scores of up to 900 * sqrt(D) are known to 1e-7 of that, and so are weights.
                let allowed = f64::from(magnitude) * (2e-6 + 4e-7 * f64::from(magnitude).powi(2));
                prop_assert!(error <= allowed, "{at} at {}: needed {needed}, found {found}", level.name());
            }
        }
    }
}

#[test]
fn a_token_alone_gets_its_own_value() {
    let attention = Attention {
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 4,
        spans: &[1],
        is_causal: true,
    };
    let qkv = numbers(1, 4 * 4, 1.0);
    for level in Level::available() {
        let mut y = vec![0.0; 8];
        attention.run(level, Threads::ONE, &qkv, &mut y);
        assert_eq!(y[..4], qkv[12..]);
        assert_eq!(y[4..], qkv[12..]);
    }
}

#[test]
fn keys_that_outweigh_all_before_them_take_their_place() {
    let n_tokens = 400;
    let attention = Attention {
        n_heads: 1,
        n_kv_heads: 1,
        head_dim: 4,
        spans: &[n_tokens],
        is_causal: true,
    };
    // Steps of less and of more than what is left to lie above the number that is subtracted.
    for step in [0.01, 0.5, 40.0] {
        let mut qkv = numbers(1, n_tokens * 12, 1.0);
        for (token, row) in qkv.chunks_exact_mut(12).enumerate() {
            row[..4].fill(1.0);
            row[4..8].fill(step * token as f32 / 2.0);
        }
        let needed = reference(&attention, &qkv);
        for level in Level::available() {
            let mut y = vec![f32::NAN; needed.len()];
            attention.run(level, Threads::ONE, &qkv, &mut y);
            for (found, needed) in y.iter().zip(&needed) {
                // Scores are as large as `step * n_tokens`, and known to 1e-7 of that.
                let allowed = 2e-6 + 2e-7 * f64::from(step) * n_tokens as f64;
                let error = (f64::from(*found) - needed).abs();
                assert!(error <= allowed, "{step} at {}: {error}", level.name());
            }
        }
    }
}

#[test]
fn a_key_that_is_not_a_number_spoils_every_query_that_sees_it_and_no_other() {
    let attention = Attention {
        n_heads: 1,
        n_kv_heads: 1,
        head_dim: 4,
        spans: &[70],
        is_causal: true,
    };
    let mut qkv = numbers(1, 70 * 12, 1.0);
    qkv[66 * 12 + 5] = f32::NAN;
    for level in Level::available() {
        let mut y = vec![0.0; 70 * 4];
        attention.run(level, Threads::ONE, &qkv, &mut y);
        assert!(
            y[..66 * 4].iter().all(|y| y.is_finite()),
            "{}",
            level.name()
        );
        assert!(y[66 * 4..].iter().all(|y| y.is_nan()), "{}", level.name());
    }
}
