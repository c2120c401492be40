//! Every form against a plain loop in f64, over shapes that fit no tile.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::*;
use crate::{
    Device,
    kernels::testing::{assert_close, device, numbers, tensor},
};

const FORMS: [Kernels; 4] = [
    Kernels::Portable,
    Kernels::Host,
    Kernels::TILED,
    Kernels::DIRECT,
];

/// Head sizes that the models have, and some that fill no tile.
const HEAD_DIMS: [usize; 7] = [32, 36, 40, 64, 80, 96, 128];

/// Which keys a query sees: the tokens of spans, one after the other.
#[derive(Debug, Clone)]
struct Spans {
    lengths: Vec<usize>,
    is_causal: bool,
}

impl Spans {
    fn causal(n_tokens: usize) -> Self {
        Self {
            lengths: vec![n_tokens],
            is_causal: true,
        }
    }

    fn windows(lengths: &[usize]) -> Self {
        Self {
            lengths: lengths.to_vec(),
            is_causal: false,
        }
    }

    fn n_tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// First key and one past the last of each query.
    fn ranges(&self) -> Vec<(usize, usize)> {
        let mut ranges = Vec::new();
        for length in &self.lengths {
            let start = ranges.len();
            let end = |m| if self.is_causal { m + 1 } else { *length };
            ranges.extend((0..*length).map(|m| (start, start + end(m))));
        }
        ranges
    }

    fn keys(&self, device: &burn::tensor::Device) -> KeyRanges {
        match (self.is_causal, self.lengths.as_slice()) {
            (true, [n_tokens]) => KeyRanges::causal(*n_tokens, device),
            (false, [n_tokens]) => KeyRanges::full(*n_tokens, device),
            (_, lengths) => KeyRanges::windows(lengths, device),
        }
    }
}

/// Softmax attention of one head after the other; `ranges` holds each query's keys.
fn reference(qkv: &[f32], heads: Heads, ranges: &[(usize, usize)]) -> Vec<f64> {
    let Heads {
        n_heads,
        n_kv_heads,
        head_dim,
    } = heads;
    let width = (n_heads + 2 * n_kv_heads) * head_dim;
    let at = |row: usize, head: usize, d: usize| f64::from(qkv[row * width + head * head_dim + d]);
    let mut y = vec![0.0; ranges.len() * n_heads * head_dim];
    for (m, (start, end)) in ranges.iter().enumerate() {
        for head in 0..n_heads {
            let k_head = n_heads + head / (n_heads / n_kv_heads);
            let v_head = k_head + n_kv_heads;
            let scores: Vec<f64> = (*start..*end)
                .map(|j| {
                    let dot: f64 = (0..head_dim)
                        .map(|d| at(m, head, d) * at(j, k_head, d))
                        .sum();
                    dot / (head_dim as f64).sqrt()
                })
                .collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            for (j, score) in (*start..*end).zip(&scores) {
                let weight = (score - largest).exp() / total;
                for d in 0..head_dim {
                    y[(m * n_heads + head) * head_dim + d] += weight * at(j, v_head, d);
                }
            }
        }
    }
    y
}

/// Heads side by side, from the seed alone; queries and keys go to `magnitude`, values to 2.
fn random(seed: u64, n_tokens: usize, heads: Heads, magnitude: f32) -> Vec<f32> {
    let of_qk = (heads.n_heads + heads.n_kv_heads) * heads.head_dim;
    let width = of_qk + heads.n_kv_heads * heads.head_dim;
    let mut qkv = numbers(seed, n_tokens * width, 1.0);
    for row in qkv.chunks_mut(width) {
        let (qk, v) = row.split_at_mut(of_qk);
        qk.iter_mut().for_each(|value| *value *= magnitude);
        v.iter_mut().for_each(|value| *value *= 2.0);
    }
    qkv
}

fn check(qkv: &[f32], heads: Heads, spans: &Spans) {
    let needed = reference(qkv, heads, &spans.ranges());
    let n_tokens = spans.n_tokens();
    for kernels in FORMS {
        let device = device(kernels);
        let qkv = tensor(qkv, [n_tokens, qkv.len() / n_tokens], &device);
        let y = attention(kernels, qkv, heads, &spans.keys(&device));
        assert_eq!(y.dims(), [n_tokens, heads.n_heads * heads.head_dim]);
        assert_close(y, &needed, 2e-5);
    }
}

fn any_heads(most_groups: usize, most_per_group: usize) -> impl Strategy<Value = Heads> {
    let head_dims = prop::sample::select(&HEAD_DIMS[..]);
    (1..=most_groups, 1..=most_per_group, head_dims).prop_map(
        |(n_kv_heads, per_group, head_dim)| Heads {
            n_heads: n_kv_heads * per_group,
            n_kv_heads,
            head_dim,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn causal_attention_with_grouped_heads_equals_the_plain_loop(
        m in 1usize..131, heads in any_heads(3, 8), seed: u64,
    ) {
        check(&random(seed, m, heads, 1.0), heads, &Spans::causal(m));
    }

    #[test]
    fn attention_within_ragged_windows_equals_the_plain_loop(
        lengths in prop::collection::vec(1usize..70, 1..6), heads in any_heads(4, 2), seed: u64,
    ) {
        let spans = Spans::windows(&lengths);
        check(&random(seed, spans.n_tokens(), heads, 1.0), heads, &spans);
    }

    #[test]
    fn attention_over_all_keys_equals_the_plain_loop(
        m in 1usize..131, heads in any_heads(2, 5), seed: u64,
    ) {
        check(&random(seed, m, heads, 1.0), heads, &Spans::windows(&[m]));
    }

    /// Whole numbers and a scale of 1/8: f32 holds these scores exactly in whatever order they are
    /// summed, so the tolerance is that of small scores.
    #[test]
    fn scores_of_ten_thousand_do_not_overflow(
        m in 1usize..131, n_kv_heads in 1usize..3, per_group in 1usize..4, seed: u64,
    ) {
        let heads = Heads { n_heads: n_kv_heads * per_group, n_kv_heads, head_dim: 64 };
        let mut qkv = random(seed, m, heads, 50.0);
        qkv.iter_mut().for_each(|value| *value = value.round());
        // One query and one key in agreement: 64 * 36² / 8 > 10,000.
        let width = qkv.len() / m;
        qkv[(m - 1) * width..][..width].fill(36.0);
        check(&qkv, heads, &Spans::causal(m));
        check(&qkv, heads, &Spans::windows(&[m]));
    }
}

#[test]
fn many_keys_are_as_exact_as_few() {
    let heads = Heads {
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 32,
    };
    check(&random(3, 1100, heads, 1.0), heads, &Spans::causal(1100));
}

#[test]
fn heads_that_the_shaders_do_not_hold_take_the_portable_form() {
    for head_dim in [6, 132] {
        let heads = Heads {
            n_heads: 2,
            n_kv_heads: 1,
            head_dim,
        };
        check(&random(4, 9, heads, 1.0), heads, &Spans::causal(9));
    }
}

/// Bytes that the shaders take for each token beyond their input: the output, and a share of the
/// tiles.
#[test]
fn memory_of_a_token_does_not_grow_with_the_tokens() {
    let device = pollster::block_on(Device::gpu()).expect("a Vulkan adapter");
    let heads = Heads {
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 32,
    };
    let row_bytes = heads.n_heads * heads.head_dim * size_of::<f32>();
    for kernels in [Kernels::TILED, Kernels::DIRECT] {
        for n_tokens in [512, 8192] {
            let width = (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim;
            let qkv: Tensor<2> = Tensor::zeros([n_tokens, width], device.burn());
            let keys = KeyRanges::causal(n_tokens, device.burn());
            let before = device.bytes_in_use();
            let y = attention(kernels, qkv.clone(), heads, &keys);
            let taken = device.bytes_in_use() - before;
            drop(y);
            // 16 bytes for a tile of 8 queries or more; allocations are rounded up.
            let most = (n_tokens * (row_bytes + 2) + 1024) as u64;
            assert!(
                taken <= most,
                "{kernels:?}, {n_tokens} tokens: {taken} bytes, at most {most}"
            );
        }
    }
}
