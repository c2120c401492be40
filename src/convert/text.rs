//! The text model: architecture `qwen2vl`, llama.cpp's names, tokeniser inside, cut into parts.

use super::adapters::Merge;
use super::config::ModelConfig;
use super::error::Error;
use super::plan::{FilePlan, Origin, Planner, Sources, general_metadata, text_files};
use super::{Options, tokenizer};
use crate::gguf::Metadata;

/// The longest input in tokens that the reference takes, whatever a caller asks for.
const MAX_LENGTH: usize = 32_768;

/// The modules of a layer that are matrices: the name as published, and llama.cpp's. These are
/// also the ones that the adapters change.
pub(super) const LINEARS: [(&str, &str); 7] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// `[out, in]` of a matrix of [`LINEARS`].
pub(super) fn linear_shape(config: &ModelConfig, module: &str) -> [usize; 2] {
    let text = &config.text;
    let (hidden, mlp) = (text.hidden_size, text.intermediate_size);
    match module {
        "self_attn.k_proj" | "self_attn.v_proj" => {
            [text.num_key_value_heads * text.head_dim(), hidden]
        }
        "mlp.gate_proj" | "mlp.up_proj" => [mlp, hidden],
        "mlp.down_proj" => [hidden, mlp],
        _ => [hidden, hidden],
    }
}

/// Plans the files of the text model.
///
/// - `merged`: the task whose adapter is added to the matrices
pub(super) fn plan(
    options: &Options,
    config: &ModelConfig,
    name: &str,
    sources: &Sources,
    merged: Option<&Merge>,
) -> Result<Vec<FilePlan>, Error> {
    let text = &config.text;
    let (hidden, n_layers) = (text.hidden_size, text.num_hidden_layers);
    let mut planner = Planner::new(sources, Origin::Base, options.dtype, n_layers);
    if sources.adapters.is_none() {
        // The vocabulary head, which no embedding uses; a merged directory may hold it.
        planner.source.ignore("lm_head.weight");
    }
    let embedding = [text.vocab_size, hidden];
    planner.whole(
        "token_embd.weight".into(),
        "embed_tokens.weight".into(),
        &embedding,
    )?;
    for layer in 0..n_layers {
        let norm = |planner: &mut Planner, name: &str, source: &str| {
            let (name, source) = (
                format!("blk.{layer}.{name}.weight"),
                format!("layers.{layer}.{source}.weight"),
            );
            planner.whole(name, source, &[hidden]).map(|_| ())
        };
        norm(&mut planner, "attn_norm", "input_layernorm")?;
        for (source, name) in LINEARS {
            if source == "mlp.gate_proj" {
                norm(&mut planner, "ffn_norm", "post_attention_layernorm")?;
            }
            let shape = linear_shape(config, source);
            let (name, source) = (
                format!("blk.{layer}.{name}"),
                format!("layers.{layer}.{source}"),
            );
            let weight =
                planner.whole(format!("{name}.weight"), format!("{source}.weight"), &shape)?;
            if let Some(merged) = merged {
                weight.update = Some(merged.update(sources, &source, shape)?);
            }
            if matches!(
                name.rsplit('.').next(),
                Some("attn_q" | "attn_k" | "attn_v")
            ) {
                planner.whole(
                    format!("{name}.bias"),
                    format!("{source}.bias"),
                    &shape[..1],
                )?;
            }
        }
    }
    planner.whole("output_norm.weight".into(), "norm.weight".into(), &[hidden])?;
    text_files(options, metadata(options, config, name)?, planner.tensors)
}

fn metadata(options: &Options, config: &ModelConfig, name: &str) -> Result<Metadata, Error> {
    let text = &config.text;
    let mut metadata = general_metadata("qwen2vl", "model", name, options.dtype.file_type())?;
    // Sizes are at most 2^20 by the checks of the configuration.
    let mut size = |key: &str, size: usize| metadata.insert(key, size as u32);
    size("qwen2vl.block_count", text.num_hidden_layers)?;
    size("qwen2vl.context_length", text.max_position_embeddings)?;
    size("qwen2vl.embedding_length", text.hidden_size)?;
    size("qwen2vl.feed_forward_length", text.intermediate_size)?;
    size("qwen2vl.attention.head_count", text.num_attention_heads)?;
    size("qwen2vl.attention.head_count_kv", text.num_key_value_heads)?;
    size(
        "jina.max_length",
        text.max_position_embeddings.min(MAX_LENGTH),
    )?;
    let mut sections: Vec<i32> = text
        .rope_scaling
        .mrope_section
        .iter()
        .map(|section| *section as i32)
        .collect();
    sections.push(0);
    metadata.insert("qwen2vl.rope.dimension_sections", sections)?;
    metadata.insert("qwen2vl.rope.freq_base", text.rope_theta)?;
    metadata.insert(
        "qwen2vl.attention.layer_norm_rms_epsilon",
        text.rms_norm_eps,
    )?;
    let dims: Vec<i32> = config
        .matryoshka_dims
        .iter()
        .map(|dim| *dim as i32)
        .collect();
    metadata.insert("jina.matryoshka_dims", dims)?;
    tokenizer::insert_into(&mut metadata, &options.from.join("tokenizer.json"), text)?;
    Ok(metadata)
}
