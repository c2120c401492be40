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

use crate::kernels::{self, Kernels, KeyRanges, RopeTable};

use super::{
    Linear, Mlp, Observer, Pass, RmsNorm, Stopped, VisionConfig, WindowLayout, pass::attention,
    rope,
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
        kernels: Kernels,
        observer: &mut O,
    ) -> Result<Tensor<2>, Stopped> {
        let config = &self.config;
        // No task adapts the tower.
        let pass = Pass {
            adapter: None,
            kernels,
        };
        let device = self.device();
        let layout = WindowLayout::new(n_rows, n_cols, config.window_units());
        let positions = layout.patch_positions(n_cols, config.spatial_merge_size);
        let table = rope::vision(&positions, config.head_dim()).upload(&device);
        let within_windows =
            KeyRanges::windows(&layout.patch_lengths(config.merge_unit()), &device);
        let whole_picture = KeyRanges::full(positions.len(), &device);

        let embedded = self.patch_embed.forward(patches, pass);
        observer.tensor(|| "vision.patch_embed".into(), &embedded);
        let mut x = embedded.select(0, indices(layout.patch_order(config.merge_unit()), &device));
        for (n, block) in self.blocks.iter().enumerate() {
            observer.before_layer().await?;
            let keys = match config.fullatt_block_indexes.contains(&n) {
                true => &whole_picture,
                false => &within_windows,
            };
            x = block.forward(x, &table, keys, pass, config, &mut |name, tensor| {
                observer.tensor(|| format!("vision.block{n}.{name}"), tensor);
            });
        }
        let normed = self.merger.ln_q.forward(x, pass);
        observer.tensor(|| "vision.merger.ln_q".into(), &normed);
        let merged = self.merger.join(normed, pass);
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
        table: &RopeTable,
        keys: &KeyRanges,
        pass: Pass,
        config: &VisionConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        record("input", &x);
        let normed = self.norm1.forward(x.clone(), pass);
        record("norm1", &normed);
        let attn = &self.attn;
        let q = attn.q.forward(normed.clone(), pass);
        let k = attn.k.forward(normed.clone(), pass);
        let v = attn.v.forward(normed, pass);
        record("q", &q);
        record("k", &k);
        record("v", &v);
        let q = kernels::rope(pass.kernels, q, table);
        let k = kernels::rope(pass.kernels, k, table);
        let context = attention(pass, q, k, v, config.num_heads, keys);
        let x = attn.proj.forward_onto(x, context, pass);
        record("attn_residual", &x);
        let normed = self.norm2.forward(x.clone(), pass);
        let x = self.mlp.forward_onto(x, normed, pass);
        record("output", &x);
        x
    }
}

impl Merger {
    /// - `normed`: `[P, C]`
    /// - returns: `[U, out_hidden_size]`
    fn join(&self, normed: Tensor<2>, pass: Pass) -> Tensor<2> {
        let [n_patches, width] = normed.dims();
        let joined_width = self.linear1.weight.dims()[1];
        let joined = normed.reshape([n_patches * width / joined_width, joined_width]);
        self.linear2
            .forward(gelu(self.linear1.forward(joined, pass)), pass)
    }
}

/// Row numbers as a tensor to select with.
fn indices(rows: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.into_iter().map(|row| row as i32).collect();
    let n_rows = rows.len();
    Tensor::from_data(TensorData::new(rows, [n_rows]), device)
}
