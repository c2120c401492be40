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

use crate::kernels::{self, Heads, Kernels, KeyRanges, RopeTable};

use super::{
    Linear, Mlp, Observer, Pass, RmsNorm, Stopped, Stream, VisionConfig, WindowLayout, qkv, rope,
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

/// Attention of the tower.
#[derive(Debug, Clone)]
pub struct VisionAttention {
    /// Queries, keys and values
    pub qkv: Linear,
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

        let embedded = self.patch_embed.forward_whole(patches, pass);
        observer.tensor(|| "vision.patch_embed".into(), || embedded.clone());
        let order = layout.patch_order(config.merge_unit());
        let mut stream = Stream::from(embedded.select(0, indices(order, &device)));
        for (n, block) in self.blocks.iter().enumerate() {
            observer.before_layer().await?;
            let keys = match config.fullatt_block_indexes.contains(&n) {
                true => &whole_picture,
                false => &within_windows,
            };
            stream = block.forward(n, stream, &table, keys, pass, config, observer);
        }
        let (x, normed) = self.merger.ln_q.forward(stream, None, pass);
        let last = self.blocks.len().saturating_sub(1);
        observer.tensor(|| format!("vision.block{last}.output"), || x);
        observer.tensor(|| "vision.merger.ln_q".into(), || normed.clone());
        let merged = self.merger.join(normed, pass);
        observer.tensor(
            || "vision.merger_before_unpermute".into(),
            || merged.clone(),
        );
        let output = merged.select(0, indices(layout.inverse(), &device));
        observer.tensor(|| "vision.output".into(), || output.clone());
        Ok(output)
    }
}

impl VisionBlock {
    /// - `stream`: `[P, C]` in window order
    #[allow(
        clippy::too_many_arguments,
        reason = "the state of a pass, handed down once"
    )]
    fn forward<O: Observer>(
        &self,
        n: usize,
        stream: Stream,
        table: &RopeTable,
        keys: &KeyRanges,
        pass: Pass,
        config: &VisionConfig,
        observer: &mut O,
    ) -> Stream<'_> {
        let VisionAttention { qkv, proj } = &self.attn;
        let name = |part: &str| format!("vision.block{n}.{part}");

        let (x, normed) = self.norm1.forward(stream, Some(qkv), pass);
        if n > 0 {
            observer.tensor(|| format!("vision.block{}.output", n - 1), || x.clone());
        }
        observer.tensor(|| name("input"), || x.clone());
        observer.tensor(|| name("norm1"), || normed.clone());
        let heads = Heads {
            n_heads: config.num_heads,
            n_kv_heads: config.num_heads,
            head_dim: config.head_dim(),
        };
        let qkv = qkv::project(qkv, heads, normed, table, pass);
        qkv::observe(observer, ["q", "k", "v"].map(name), heads, &qkv, table);
        let context = kernels::attention(pass.kernels, qkv, heads, keys);
        let output = proj.forward_in_slices(context, pass);

        let stream = Stream::with(x, proj, output, pass);
        let next = Some(&self.mlp.gate_up_proj);
        let (x, normed) = self.norm2.forward(stream, next, pass);
        observer.tensor(|| name("attn_residual"), || x.clone());
        let output = self.mlp.forward(normed, pass);
        Stream::with(x, &self.mlp.down_proj, output, pass)
    }
}

impl Merger {
    /// - `normed`: `[P, C]`
    /// - returns: `[U, out_hidden_size]`
    fn join(&self, normed: Tensor<2>, pass: Pass) -> Tensor<2> {
        let [n_patches, width] = normed.dims();
        let joined_width = self.linear1.weight.dims()[1];
        let joined = normed.reshape([n_patches * width / joined_width, joined_width]);
        let hidden = gelu(self.linear1.forward_whole(joined, pass));
        self.linear2.forward_whole(hidden, pass)
    }
}

/// Row numbers as a tensor to select with.
fn indices(rows: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.into_iter().map(|row| row as i32).collect();
    let n_rows = rows.len();
    Tensor::from_data(TensorData::new(rows, [n_rows]), device)
}
