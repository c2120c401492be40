//! The text decoder (spec section 5):
//!
//! ```text
//! x = embed_tokens[ids]                                 picture tokens overwritten by the tower
//! for each layer:
//!     x += o_proj(attention(rope(q_proj(n)), rope(k_proj(n)), v_proj(n)))   n = input_layernorm(x)
//!     x += down_proj(silu(gate_proj(n)) * up_proj(n))                       n = post_attention_layernorm(x)
//! return norm(x)
//! ```
//!
//! Letters: T = tokens, H = hidden_size, N = heads, G = key/value heads, D = head_dim.

use burn::tensor::{Device, Tensor};

use crate::kernels::{self, KeyRanges, RopeTable, Weight};

use super::{
    Linear, Mlp, Observer, Pass, Positions, RmsNorm, Stopped, TextConfig, pass::attention, rope,
};

/// `Qwen2_5_VLModel`'s language model without its vocabulary head, which embedding never needs.
#[derive(Debug, Clone)]
pub struct Decoder {
    pub config: TextConfig,
    /// `[vocab_size, H]`
    pub embed_tokens: Weight,
    pub layers: Vec<DecoderLayer>,
    pub norm: RmsNorm,
}

/// One layer of the decoder.
#[derive(Debug, Clone)]
pub struct DecoderLayer {
    pub input_layernorm: RmsNorm,
    pub self_attn: SelfAttention,
    pub post_attention_layernorm: RmsNorm,
    pub mlp: Mlp,
}

/// Causal attention with grouped queries.
#[derive(Debug, Clone)]
pub struct SelfAttention {
    /// H -> N * D, with bias
    pub q_proj: Linear,
    /// H -> G * D, with bias
    pub k_proj: Linear,
    /// H -> G * D, with bias
    pub v_proj: Linear,
    /// N * D -> H, no bias
    pub o_proj: Linear,
}

impl Decoder {
    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.embed_tokens.device()
    }

    /// Token embeddings.
    ///
    /// - `ids`: each below `vocab_size`
    /// - returns: `[T, H]`
    pub fn embed(&self, ids: &[u32]) -> Tensor<2> {
        self.embed_tokens.rows(ids)
    }

    /// Hidden states after the final norm, which is what the reference calls `hidden_states[-1]`.
    ///
    /// - `embeddings`: `[T, H]`
    /// - returns: `[T, H]`
    pub async fn forward<O: Observer>(
        &self,
        embeddings: Tensor<2>,
        positions: &Positions,
        pass: Pass,
        observer: &mut O,
    ) -> Result<Tensor<2>, Stopped> {
        let TextConfig {
            rope_theta,
            mrope_section,
            head_dim,
            ..
        } = self.config;
        let device = self.device();
        let table = rope::mrope(positions, rope_theta, mrope_section, head_dim).upload(&device);
        let keys = KeyRanges::causal(positions.len(), &device);
        let mut x = embeddings;
        for (n, layer) in self.layers.iter().enumerate() {
            observer.before_layer().await?;
            x = layer.forward(x, &table, &keys, pass, &self.config, &mut |name, tensor| {
                observer.tensor(|| format!("text.layer{n}.{name}"), tensor);
            });
        }
        let x = self.norm.forward(x, pass);
        observer.tensor(|| "text.final_norm".into(), &x);
        Ok(x)
    }
}

impl DecoderLayer {
    /// - `x`: `[T, H]`
    fn forward(
        &self,
        x: Tensor<2>,
        table: &RopeTable,
        keys: &KeyRanges,
        pass: Pass,
        config: &TextConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        record("input", &x);
        let normed = self.input_layernorm.forward(x.clone(), pass);
        record("input_layernorm", &normed);
        let x = self
            .self_attn
            .forward_onto(x, normed, table, keys, pass, config, record);
        record("attn_residual", &x);
        let normed = self.post_attention_layernorm.forward(x.clone(), pass);
        record("post_attention_layernorm", &normed);
        let x = self.mlp.forward_onto(x, normed, pass);
        record("output", &x);
        x
    }
}

impl SelfAttention {
    /// - `residual`, `x`: `[T, H]`
    /// - returns: `residual` + attention of `x`
    #[allow(
        clippy::too_many_arguments,
        reason = "the layer's own state, handed down once"
    )]
    fn forward_onto(
        &self,
        residual: Tensor<2>,
        x: Tensor<2>,
        table: &RopeTable,
        keys: &KeyRanges,
        pass: Pass,
        config: &TextConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        let q = self.q_proj.forward(x.clone(), pass);
        let k = self.k_proj.forward(x.clone(), pass);
        let v = self.v_proj.forward(x, pass);
        record("q_proj", &q);
        record("k_proj", &k);
        record("v_proj", &v);
        let q = kernels::rope(pass.kernels, q, table);
        let k = kernels::rope(pass.kernels, k, table);
        let heads = config.num_attention_heads;
        let context = attention(pass, q, k, v, heads, keys);
        record("attn_context", &context);
        self.o_proj.forward_onto(residual, context, pass)
    }
}
