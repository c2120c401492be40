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

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    Adapter, Linear, Mlp, Observer, Positions, RmsNorm, Stopped, TextConfig,
    attention::causal_attention,
    rope::{self, Rope},
};

/// `Qwen2_5_VLModel`'s language model without its vocabulary head, which embedding never needs.
#[derive(Debug, Clone)]
pub struct Decoder {
    pub config: TextConfig,
    /// `[vocab_size, H]`
    pub embed_tokens: Tensor<2>,
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
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let n_tokens = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n_tokens]), &self.device());
        self.embed_tokens.clone().select(0, ids)
    }

    /// Hidden states after the final norm, which is what the reference calls `hidden_states[-1]`.
    ///
    /// - `embeddings`: `[T, H]`
    /// - returns: `[T, H]`
    pub async fn forward<O: Observer>(
        &self,
        embeddings: Tensor<2>,
        positions: &Positions,
        adapter: Option<Adapter>,
        observer: &mut O,
    ) -> Result<Tensor<2>, Stopped> {
        let config = &self.config;
        let table = rope::mrope(
            positions,
            config.rope_theta,
            config.mrope_section,
            config.head_dim,
        );
        let rope = Rope::new(&table, &self.device());
        let mut x = embeddings;
        for (n, layer) in self.layers.iter().enumerate() {
            observer.before_layer().await?;
            x = layer.forward(x, &rope, adapter, config, &mut |name, tensor| {
                observer.tensor(|| format!("text.layer{n}.{name}"), tensor);
            });
        }
        let x = self.norm.forward(x);
        observer.tensor(|| "text.final_norm".into(), &x);
        Ok(x)
    }
}

impl DecoderLayer {
    /// - `x`: `[T, H]`
    fn forward(
        &self,
        x: Tensor<2>,
        rope: &Rope,
        adapter: Option<Adapter>,
        config: &TextConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        record("input", &x);
        let normed = self.input_layernorm.forward(x.clone());
        record("input_layernorm", &normed);
        let attended = self
            .self_attn
            .forward(normed, rope, adapter, config, record);
        let x = x + attended;
        let normed = self.post_attention_layernorm.forward(x.clone());
        record("post_attention_layernorm", &normed);
        let update = self.mlp.forward(normed, adapter);
        record("mlp", &update);
        let x = x + update;
        record("output", &x);
        x
    }
}

impl SelfAttention {
    /// - `x`: `[T, H]`
    fn forward(
        &self,
        x: Tensor<2>,
        rope: &Rope,
        adapter: Option<Adapter>,
        config: &TextConfig,
        record: &mut impl FnMut(&str, &Tensor<2>),
    ) -> Tensor<2> {
        let q = self.q_proj.forward(x.clone(), adapter);
        let k = self.k_proj.forward(x.clone(), adapter);
        let v = self.v_proj.forward(x, adapter);
        record("q_proj", &q);
        record("k_proj", &k);
        record("v_proj", &v);
        let q = heads(q, config.num_attention_heads);
        let k = heads(k, config.num_key_value_heads);
        let v = heads(v, config.num_key_value_heads);
        let context = causal_attention(rope.rotate(q), rope.rotate(k), v);
        record("attn_context", &context);
        let output = self.o_proj.forward(context, adapter);
        record("o_proj", &output);
        output
    }
}

/// `[rows, n_heads * D]` to `[n_heads, rows, D]`
pub(super) fn heads(x: Tensor<2>, n_heads: usize) -> Tensor<3> {
    let [n_rows, width] = x.dims();
    x.reshape([n_rows, n_heads, width / n_heads])
        .swap_dims(0, 1)
}
