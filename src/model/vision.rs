//! The vision tower (spec section 7):
//!
//! ```text
//! x = patch_embed(patches), in window order
//! for each block:
//!     x += proj(attention(rope(q), rope(k), v))     within windows, or over the whole picture
//!     x += down_proj(silu(gate_proj(n)) * up_proj(n))
//! merger: norm, join four patches, linear, GELU, linear; then back to row-major order
//! ```
//!
//! Letters: P = patches, U = P / 4 merged units, C = hidden_size of the tower, D = head_dim,
//! W = windows, L = patches of the largest window.

use burn::tensor::{Device, Int, Tensor, TensorData, activation::gelu};

use super::{
    Linear, Mlp, Observer, RmsNorm, Stopped, VisionConfig, WindowLayout,
    attention::{MASKED, full_attention},
    decoder::heads,
    rope::{self, Rope},
};

/// `Qwen2_5_VisionTransformer` of the reference.
#[derive(Debug, Clone)]
pub struct VisionTower {
    pub config: VisionConfig,
    /// channels * frames * side * side -> C, no bias: the flattened convolution
    pub patch_embed: Linear,
    pub blocks: Vec<VisionBlock>,
    pub merger: Merger,
}

/// One block of the tower.
#[derive(Debug, Clone)]
pub struct VisionBlock {
    pub norm1: RmsNorm,
    pub attn: VisionAttention,
    pub norm2: RmsNorm,
    pub mlp: Mlp,
}

/// Attention of the tower; queries, keys and values are separate layers as in GGUF files.
#[derive(Debug, Clone)]
pub struct VisionAttention {
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub proj: Linear,
}

/// Joins each 2x2 square of patches into one token of the decoder.
#[derive(Debug, Clone)]
pub struct Merger {
    pub ln_q: RmsNorm,
    /// 4 C -> 4 C
    pub linear1: Linear,
    /// 4 C -> the decoder's hidden_size
    pub linear2: Linear,
}

/// Gathers the patches of every window into rows of equal length.
struct Windows {
    /// `[W * L]`: patch at each place, any patch where the window is shorter
    gather: Tensor<1, Int>,
    /// `[P]`: place of each patch
    scatter: Tensor<1, Int>,
    /// `[W, 1, L]`: 0, or [`MASKED`] where the window is shorter; none if all are equally long
    mask: Option<Tensor<3>>,
    n_windows: usize,
    length: usize,
}

impl VisionTower {
    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.patch_embed.weight.device()
    }

    /// - `patches`: `[P, patch_elements]`, the four of a unit adjacent, units row-major
    /// - `n_rows`, `n_cols`: the grid in merged units
    /// - returns: `[U, out_hidden_size]`, row-major
    pub async fn forward<O: Observer>(
        &self,
        patches: Tensor<2>,
        n_rows: usize,
        n_cols: usize,
        observer: &mut O,
    ) -> Result<Tensor<2>, Stopped> {
        let config = &self.config;
        let device = self.device();
        let layout = WindowLayout::new(n_rows, n_cols, config.window_units());
        let positions = layout.patch_positions(n_cols, config.spatial_merge_size);
        let rope = Rope::new(&rope::vision(&positions, config.head_dim()), &device);
        let windows = Windows::new(&layout, config.merge_unit(), &device);

        let embedded = self.patch_embed.forward(patches, None);
        observer.tensor(|| "vision.patch_embed".into(), &embedded);
        let mut x = embedded.select(0, indices(layout.patch_order(config.merge_unit()), &device));
        for (n, block) in self.blocks.iter().enumerate() {
            observer.before_layer().await?;
            let windows = (!config.fullatt_block_indexes.contains(&n)).then_some(&windows);
            x = block.forward(x, &rope, windows, config, &mut |name, tensor| {
                observer.tensor(|| format!("vision.block{n}.{name}"), tensor);
            });
        }
        let normed = self.merger.ln_q.forward(x);
        observer.tensor(|| "vision.merger.ln_q".into(), &normed);
        let merged = self.merger.join(normed);
        observer.tensor(|| "vision.merger_before_unpermute".into(), &merged);
        let output = merged.select(0, indices(layout.inverse(), &device));
        observer.tensor(|| "vision.output".into(), &output);
        Ok(output)
    }
}

impl VisionBlock {
    /// - `x`: `[P, C]` in window order
    fn forward(
        &self,
        x: Tensor<2>,
        rope: &Rope,
        windows: Option<&Windows>,
        config: &VisionConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        record("input", &x);
        let normed = self.norm1.forward(x.clone());
        record("norm1", &normed);
        let attended = self.attn.forward(normed, rope, windows, config, record);
        record("attn", &attended);
        let x = x + attended;
        let update = self.mlp.forward(self.norm2.forward(x.clone()), None);
        record("mlp", &update);
        let x = x + update;
        record("output", &x);
        x
    }
}

impl VisionAttention {
    /// - `x`: `[P, C]` in window order
    /// - `windows`: the windows to stay within, or none to attend over the whole picture
    fn forward(
        &self,
        x: Tensor<2>,
        rope: &Rope,
        windows: Option<&Windows>,
        config: &VisionConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        let [n_patches, width] = x.dims();
        let q = self.q.forward(x.clone(), None);
        let k = self.k.forward(x.clone(), None);
        let v = self.v.forward(x, None);
        record("q", &q);
        record("k", &k);
        record("v", &v);
        let q = rope.rotate(heads(q, config.num_heads));
        let k = rope.rotate(heads(k, config.num_heads));
        let v = heads(v, config.num_heads);
        let context = match windows {
            None => full_attention(q, k, v, None),
            Some(windows) => windows.scatter(full_attention(
                windows.gather(q),
                windows.gather(k),
                windows.gather(v),
                windows.key_mask(config.num_heads),
            )),
        };
        // [heads, P, D] -> [P, C]
        self.proj
            .forward(context.swap_dims(0, 1).reshape([n_patches, width]), None)
    }
}

impl Merger {
    /// - `normed`: `[P, C]`
    /// - returns: `[U, out_hidden_size]`
    fn join(&self, normed: Tensor<2>) -> Tensor<2> {
        let [n_patches, width] = normed.dims();
        let joined_width = self.linear1.weight.dims()[1];
        let joined = normed.reshape([n_patches * width / joined_width, joined_width]);
        self.linear2
            .forward(gelu(self.linear1.forward(joined, None)), None)
    }
}

impl Windows {
    fn new(layout: &WindowLayout, merge_unit: usize, device: &Device) -> Self {
        let lengths: Vec<usize> = layout
            .window_lengths
            .iter()
            .map(|n_units| n_units * merge_unit)
            .collect();
        let n_windows = lengths.len();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut gather = Vec::with_capacity(n_windows * length);
        let mut scatter = Vec::new();
        let mut mask = vec![0.0f32; n_windows * length];
        let mut first = 0;
        for (window, n_patches) in lengths.iter().enumerate() {
            for place in 0..length {
                if place < *n_patches {
                    gather.push((first + place) as u32);
                    scatter.push((window * length + place) as u32);
                } else {
                    gather.push(first as u32);
                    mask[window * length + place] = MASKED;
                }
            }
            first += n_patches;
        }
        let ragged = lengths.iter().any(|n_patches| *n_patches != length);
        Self {
            gather: indices(gather, device),
            scatter: indices(scatter, device),
            mask: ragged
                .then(|| Tensor::from_data(TensorData::new(mask, [n_windows, 1, length]), device)),
            n_windows,
            length,
        }
    }

    /// `[heads, P, D]` to `[heads * W, L, D]`
    fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        let [n_heads, _, head_dim] = x.dims();
        x.select(1, self.gather.clone())
            .reshape([n_heads * self.n_windows, self.length, head_dim])
    }

    /// `[heads * W, L, D]` to `[heads, P, D]`
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

/// Row numbers as a tensor to select with.
fn indices(rows: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.into_iter().map(|row| row as i32).collect();
    let n_rows = rows.len();
    Tensor::from_data(TensorData::new(rows, [n_rows]), device)
}
