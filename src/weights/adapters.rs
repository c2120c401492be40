//! Task adapters: llama.cpp's LoRA files for the decoder, one pair per task for the projector.

use crate::{
    Result,
    kernels::{LowRank, Weight},
    model::{Decoder, DecoderLayer, Linear},
    text::Task,
};

use super::{Error, tables::stack_of, tensors::Tensors};

/// Puts the pairs `<layer>.weight.lora_a` `[R, K]` and `.lora_b` `[N, R]` of a file onto the
/// layers of the decoder.
///
/// - `alpha`: the file's `adapter.lora.alpha`; updates are scaled by `alpha / R`
pub fn attach_to_decoder(
    file: &str,
    decoder: &mut Decoder,
    task: Task,
    alpha: f32,
    mut tensors: Tensors,
) -> Result<()> {
    for (n, layer) in decoder.layers.iter_mut().enumerate() {
        for (part, linear) in linears(layer) {
            let stack = stack_of(&format!("blk.{n}.{part}.weight"));
            let pairs: Vec<[String; 2]> = stack
                .iter()
                .map(|name| ["a", "b"].map(|half| format!("{name}.lora_{half}")))
                .collect();
            attach(file, linear, task, alpha, &pairs, &mut tensors)?;
        }
    }
    match tensors.pop_first() {
        None => Ok(()),
        Some((tensor, stored)) => Err(Error::Inconsistent {
            file: file.to_string(),
            what: format!("tensor `{tensor}` with shape {:?}", stored.shape()),
            needed: format!("a layer of the decoder, which has {}", decoder.layers.len()),
            found: "of no layer".into(),
        }
        .into()),
    }
}

/// Puts the pair of one task onto the projector.
pub fn attach_to_projector(
    file: &str,
    linear: &mut Linear,
    task: Task,
    alpha: f32,
    tensors: &mut Tensors,
) -> Result<()> {
    let pair =
        ["a", "b"].map(|half| format!("multi_vector_projector.lora_{half}.{}", task.as_str()));
    attach(file, linear, task, alpha, &[pair], tensors)
}

/// The adaptable layers of a decoder layer by their GGUF names, stacks by that of their first.
fn linears(layer: &mut DecoderLayer) -> [(&'static str, &mut Linear); 4] {
    [
        ("attn_q", &mut layer.self_attn.qkv_proj),
        ("attn_output", &mut layer.self_attn.o_proj),
        ("ffn_gate", &mut layer.mlp.gate_up_proj),
        ("ffn_down", &mut layer.mlp.down_proj),
    ]
}

/// Takes both halves of every pair of a stack; a stack without any pair stays as it is.
fn attach(
    file: &str,
    linear: &mut Linear,
    task: Task,
    alpha: f32,
    names: &[[String; 2]],
    tensors: &mut Tensors,
) -> Result<()> {
    if names
        .iter()
        .flatten()
        .all(|name| !tensors.contains_key(name))
    {
        return Ok(());
    }
    let n_in = linear.weight.dims()[1];
    // One rank for all: the first that is there.
    let rank = names.iter().find_map(|[a, b]| {
        let first = tensors.get(a).and_then(|a| a.shape().first());
        first.or(tensors.get(b).and_then(|b| b.shape().last()))
    });
    let rank = rank.copied().unwrap_or(0);
    let (mut a_parts, mut b_parts) = (Vec::new(), Vec::new());
    for ([name_a, name_b], n_out) in names.iter().zip(linear.weight.part_rows()) {
        for (name, needed, parts) in [
            (name_a, [rank, n_in], &mut a_parts),
            (name_b, [n_out, rank], &mut b_parts),
        ] {
            let stored = tensors
                .remove(name)
                .ok_or_else(|| missing(file, name.clone(), needed.to_vec()))?;
            if stored.shape() != needed {
                return Err(Error::WrongShape {
                    file: file.to_string(),
                    tensor: name.clone(),
                    needed: needed.to_vec(),
                    found: stored.shape().to_vec(),
                }
                .into());
            }
            parts.push(stored.into_weight(needed));
        }
    }
    let update = LowRank {
        a: Weight::stacked(a_parts),
        b: Weight::stacked(b_parts),
        scale: (f64::from(alpha) / rank as f64) as f32,
    };
    linear.adapters.insert(task, update);
    Ok(())
}

fn missing(file: &str, tensor: String, needed: Vec<usize>) -> crate::Error {
    Error::MissingTensor {
        file: file.to_string(),
        tensor,
        needed,
    }
    .into()
}
