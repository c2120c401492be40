//! Softmax attention in which every query sees one range of neighbouring keys: all keys up to its
//! own (the decoder), its window, or the whole picture (the vision tower).
//!
//! Letters: M = tokens, N = query heads, G = key/value heads (N is a multiple), D = head_dim.

mod portable;
#[cfg(test)]
mod tests;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    Kernels,
    launch::{Kernel, contiguous},
};
use portable::Windows;

/// Which keys each query sees.
#[derive(Debug, Clone)]
pub struct KeyRanges {
    kind: Kind,
    /// `[M, 2]`: first key and one past the last
    ranges: Tensor<2, Int>,
}

#[derive(Debug, Clone)]
enum Kind {
    Causal,
    Full,
    Windows(Box<Windows>),
}

impl KeyRanges {
    /// Every query sees the keys up to its own.
    pub fn causal(n_tokens: usize, device: &Device) -> Self {
        Self::new(
            Kind::Causal,
            (0..n_tokens).map(|token| (0, token + 1)),
            device,
        )
    }

    /// Every query sees every key.
    pub fn full(n_tokens: usize, device: &Device) -> Self {
        Self::new(Kind::Full, (0..n_tokens).map(|_| (0, n_tokens)), device)
    }

    /// Queries see the keys of their own window; windows of these lengths follow one another.
    pub fn windows(lengths: &[usize], device: &Device) -> Self {
        let mut start = 0;
        let mut ranges = Vec::new();
        for length in lengths {
            ranges.extend(std::iter::repeat_n((start, start + length), *length));
            start += length;
        }
        Self::new(
            Kind::Windows(Box::new(Windows::new(lengths, device))),
            ranges.into_iter(),
            device,
        )
    }

    fn new(kind: Kind, ranges: impl Iterator<Item = (usize, usize)>, device: &Device) -> Self {
        let bounds: Vec<i32> = ranges
            .flat_map(|(start, end)| [start as i32, end as i32])
            .collect();
        let n_tokens = bounds.len() / 2;
        let ranges = Tensor::from_data(TensorData::new(bounds, [n_tokens, 2]), device);
        Self { kind, ranges }
    }
}

/// How many heads lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
}

/// - `qkv`: `[M, (N + 2 G) * D]`
/// - returns: `[M, N * D]`
pub fn attention(kernels: Kernels, qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
    let Heads { n_heads, n_kv_heads, head_dim } = heads;
    let (q_width, kv_width) = (n_heads * head_dim, n_kv_heads * head_dim);
    let q = qkv.clone().narrow(1, 0, q_width);
    let k = qkv.clone().narrow(1, q_width, kv_width);
    let v = qkv.narrow(1, q_width + kv_width, kv_width);
    match kernels {
        Kernels::Direct if head_dim.is_multiple_of(4) => direct(q, k, v, n_heads, keys),
        _ => portable::attention(q, k, v, n_heads, &keys.kind),
    }
}

fn direct(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, n_heads: usize, keys: &KeyRanges) -> Tensor<2> {
    const WORKGROUP: [u32; 2] = [16, 1];
    let [m, width] = q.dims();
    let head_dim = width / n_heads;
    let heads_per_group = width / k.dims()[1];
    let kernel = Kernel {
        source: include_str!("kernel.wgsl"),
        name: "attention",
        inputs: vec![
            ("q".into(), "vec4<f32>"),
            ("k".into(), "vec4<f32>"),
            ("v".into(), "vec4<f32>"),
            ("ranges".into(), "vec2<u32>"),
        ],
        outputs: vec![("y", "vec4<f32>")],
        decoders: Vec::new(),
        constants: vec![("head_dim".into(), head_dim)],
        switches: Vec::new(),
        workgroup_size: WORKGROUP,
    };
    let mut tensors: Vec<_> = [q, k, v].into_iter().filter_map(contiguous).collect();
    tensors.extend(
        keys.ranges
            .clone()
            .try_into_primitive::<burn_wgpu::CubeBackend>()
            .ok(),
    );
    let scale = 1.0 / (head_dim as f32).sqrt();
    let mut y = kernel.launch(
        tensors,
        &[[m, width]],
        [(m as u32).div_ceil(WORKGROUP[0]), n_heads as u32, 1],
        &[
            m as u32,
            n_heads as u32,
            heads_per_group as u32,
            scale.to_bits(),
        ],
    );
    y.remove(0)
}
