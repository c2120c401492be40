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

use crate::kernels::{self, Heads, KeyRanges, RopeTable, Weight};

use super::{
    Linear, Mlp, Observer, Pass, Positions, RmsNorm, Stopped, Stream, TextConfig,
    qkv::{self, columns},
    rope,
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
    /// `q_proj`, `k_proj` and `v_proj`, with bias: H -> (N + 2 G) * D
    pub qkv_proj: Linear,
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
        let config = &self.config;
        let device = self.device();
        let table = rope::mrope(
            positions,
            config.rope_theta,
            config.mrope_section,
            config.head_dim,
        )
        .upload(&device);
        let keys = KeyRanges::causal(positions.len(), &device);
        let mut stream = Stream::from(embeddings);
        for (n, layer) in self.layers.iter().enumerate() {
            observer.before_layer().await?;
            stream = layer.forward(n, stream, &table, &keys, pass, config, observer);
        }
        let (x, normed) = self.norm.forward(stream, None, pass);
        let last = self.layers.len().saturating_sub(1);
        observer.tensor(|| format!("text.layer{last}.output"), || x);
        observer.tensor(|| "text.final_norm".into(), || normed.clone());
        Ok(normed)
    }
}

impl DecoderLayer {
    /// - `stream`: `[T, H]`
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
        config: &TextConfig,
        observer: &mut O,
    ) -> Stream<'_> {
        let Self {
            self_attn: SelfAttention { qkv_proj, o_proj },
            mlp,
            ..
        } = self;
        let hidden = config.hidden_size;
        let name = |part: &str| format!("text.layer{n}.{part}");

        let (x, normed) = self.input_layernorm.forward(stream, Some(qkv_proj), pass);
        if n > 0 {
            observer.tensor(|| format!("text.layer{}.output", n - 1), || x.clone());
        }
        observer.tensor(|| name("input"), || x.clone());
        observer.tensor(|| name("input_layernorm"), || columns(&normed, 0, hidden));
        let heads = Heads {
            n_heads: config.num_attention_heads,
            n_kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        };
        let qkv = qkv::project(qkv_proj, heads, normed, table, pass);
        let names = ["q_proj", "k_proj", "v_proj"].map(name);
        qkv::observe(observer, names, heads, &qkv, table);
        let context = kernels::attention(pass.kernels, qkv, heads, keys);
        observer.tensor(|| name("attn_context"), || context.clone());
        let output = o_proj.forward_in_slices(context, pass);

        let stream = Stream::with(x, o_proj, output, pass);
        let next = Some(&mlp.gate_up_proj);
        let (x, normed) = self.post_attention_layernorm.forward(stream, next, pass);
        observer.tensor(|| name("attn_residual"), || x.clone());
        observer.tensor(
            || name("post_attention_layernorm"),
            || columns(&normed, 0, hidden),
        );
        Stream::with(x, &mlp.down_proj, mlp.forward(normed, pass), pass)
    }
}
