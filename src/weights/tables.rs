//! The GGUF names of every tensor, as llama.cpp writes them, and the model built from them.

use burn::tensor::Tensor;

use crate::{
    Result,
    kernels::Weight,
    model::{
        Decoder, DecoderLayer, Linear, Merger, Mlp, Projector, RmsNorm, SelfAttention, TextConfig,
        VisionAttention, VisionBlock, VisionConfig, VisionTower,
    },
};

use super::tensors::Source;

/// A linear layer `name.weight` with `name.bias` where `bias` says so.
fn linear(
    source: &mut Source,
    name: &str,
    n_in: usize,
    n_out: usize,
    bias: bool,
) -> Result<Linear> {
    let weight = source.take_weight(&format!("{name}.weight"), [n_out, n_in])?;
    let bias = match bias {
        true => Some(source.take(&format!("{name}.bias"), [n_out])?),
        false => None,
    };
    Ok(Linear::new(weight, bias))
}

/// Several linear layers of the same input as one: `(name, n_out)` each.
fn stacked_linear(
    source: &mut Source,
    parts: &[(String, usize)],
    n_in: usize,
    bias: bool,
) -> Result<Linear> {
    let mut weights = Vec::with_capacity(parts.len());
    let mut biases = Vec::with_capacity(parts.len());
    for (name, n_out) in parts {
        let part = linear(source, name, n_in, *n_out, bias)?;
        weights.push(part.weight);
        biases.extend(part.bias);
    }
    let bias = bias.then(|| Tensor::cat(biases, 0));
    Ok(Linear::new(Weight::stacked(weights), bias))
}

/// The tensors that are multiplied with the same input as `name`, in the order of their rows, or
/// `name` alone. On a graphics device they share a buffer, and so a kernel.
pub fn stack_of(name: &str) -> Vec<String> {
    for parts in [STACK_QKV.as_slice(), STACK_GATE_UP.as_slice()] {
        for part in parts {
            let Some((before, after)) = name.split_once(&format!(".{part}.weight")) else {
                continue;
            };
            let name_of = |part: &&str| format!("{before}.{part}.weight{after}");
            return parts.iter().map(name_of).collect();
        }
    }
    vec![name.to_string()]
}

const STACK_QKV: [&str; 3] = ["attn_q", "attn_k", "attn_v"];
const STACK_GATE_UP: [&str; 2] = ["ffn_gate", "ffn_up"];

fn rms_norm(source: &mut Source, name: &str, width: usize, eps: f64) -> Result<RmsNorm> {
    Ok(RmsNorm {
        weight: source.take(&format!("{name}.weight"), [width])?,
        eps,
    })
}

fn mlp(
    source: &mut Source,
    name: impl Fn(&str) -> String,
    hidden: usize,
    intermediate: usize,
    bias: bool,
) -> Result<Mlp> {
    let parts = STACK_GATE_UP.map(|part| (name(part), intermediate));
    Ok(Mlp {
        gate_up_proj: stacked_linear(source, &parts, hidden, bias)?,
        down_proj: linear(source, &name("ffn_down"), intermediate, hidden, bias)?,
    })
}

/// The decoder; `output.weight`, the vocabulary head of some files, is not among its tensors.
pub fn decoder(config: &TextConfig, source: &mut Source) -> Result<Decoder> {
    let hidden = config.hidden_size;
    let kv = config.num_key_value_heads * config.head_dim;
    let context = config.num_attention_heads * config.head_dim;
    let eps = config.rms_norm_eps;
    let embed_tokens = source.take_weight("token_embd.weight", [config.vocab_size, hidden])?;
    let mut layers = Vec::with_capacity(config.num_hidden_layers);
    for n in 0..config.num_hidden_layers {
        let name = |part: &str| format!("blk.{n}.{part}");
        layers.push(DecoderLayer {
            input_layernorm: rms_norm(source, &name("attn_norm"), hidden, eps)?,
            self_attn: SelfAttention {
                qkv_proj: {
                    let [q, k, v] = STACK_QKV.map(name);
                    stacked_linear(source, &[(q, context), (k, kv), (v, kv)], hidden, true)?
                },
                o_proj: linear(source, &name("attn_output"), context, hidden, false)?,
            },
            post_attention_layernorm: rms_norm(source, &name("ffn_norm"), hidden, eps)?,
            mlp: mlp(source, name, hidden, config.intermediate_size, false)?,
        });
    }
    let norm = rms_norm(source, "output_norm", hidden, eps)?;
    Ok(Decoder {
        config: config.clone(),
        embed_tokens,
        layers,
        norm,
    })
}

/// The vision tower of an mmproj file (`qwen2.5vl_merger`).
pub fn vision_tower(config: &VisionConfig, source: &mut Source) -> Result<VisionTower> {
    let hidden = config.hidden_size;
    let eps = config.rms_norm_eps;
    let patch_embed = Linear::new(patch_embed(config, source)?.into(), None);
    let mut blocks = Vec::with_capacity(config.depth);
    for n in 0..config.depth {
        let name = |part: &str| format!("v.blk.{n}.{part}");
        blocks.push(VisionBlock {
            norm1: rms_norm(source, &name("ln1"), hidden, eps)?,
            attn: VisionAttention {
                qkv: {
                    let parts = STACK_QKV.map(|part| (name(part), hidden));
                    stacked_linear(source, &parts, hidden, true)?
                },
                proj: linear(source, &name("attn_out"), hidden, hidden, true)?,
            },
            norm2: rms_norm(source, &name("ln2"), hidden, eps)?,
            mlp: mlp(source, name, hidden, config.intermediate_size, true)?,
        });
    }
    let joined = hidden * config.merge_unit();
    let merger = Merger {
        ln_q: rms_norm(source, "v.post_ln", hidden, eps)?,
        linear1: linear(source, "mm.0", joined, joined, true)?,
        linear2: linear(source, "mm.2", joined, config.out_hidden_size, true)?,
    };
    Ok(VisionTower {
        config: config.clone(),
        patch_embed,
        blocks,
        merger,
    })
}

/// The convolution kernel, one tensor per frame in the file, as one matrix over a patch whose
/// numbers run channel, frame, y, x.
fn patch_embed(config: &VisionConfig, source: &mut Source) -> Result<Tensor<2>> {
    let (out, channels, side) = (config.hidden_size, config.in_channels, config.patch_size);
    let mut frames: Vec<Tensor<4>> = Vec::with_capacity(config.temporal_patch_size);
    for frame in 0..config.temporal_patch_size {
        let name = match frame {
            0 => "v.patch_embd.weight".to_string(),
            _ => format!("v.patch_embd.weight.{frame}"),
        };
        frames.push(source.take(&name, [out, channels, side, side])?);
    }
    let kernel: Tensor<5> = Tensor::stack(frames, 2);
    let n_elements = kernel.dims()[1..].iter().product();
    let out = kernel.dims()[0];
    Ok(kernel.reshape([out, n_elements]))
}

/// The multi-vector head, without its adapters.
pub fn projector(dim: usize, hidden_size: usize, source: &mut Source) -> Result<Projector> {
    Ok(Projector {
        linear: linear(source, "multi_vector_projector", hidden_size, dim, true)?,
    })
}
