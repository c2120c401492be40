//! Task adapters: llama.cpp's LoRA files for the decoder, one pair per task for the projector.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::{
    Result,
    kernels::LowRank,
    model::{Decoder, DecoderLayer, Linear},
    text::Task,
};

use super::{Error, tensors::Tensors};

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
            let name = format!("blk.{n}.{part}.weight");
            let pair = [format!("{name}.lora_a"), format!("{name}.lora_b")];
            attach(file, linear, task, alpha, pair, &mut tensors)?;
        }
    }
    match tensors.pop_first() {
        None => Ok(()),
        Some((tensor, (found, _))) => Err(Error::Inconsistent {
            file: file.to_string(),
            what: format!("tensor `{tensor}` with shape {found:?}"),
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
    attach(file, linear, task, alpha, pair, tensors)
}

/// The adaptable layers of a decoder layer by their GGUF names.
fn linears(layer: &mut DecoderLayer) -> [(&'static str, &mut Linear); 7] {
    [
        ("attn_q", &mut layer.self_attn.q_proj),
        ("attn_k", &mut layer.self_attn.k_proj),
        ("attn_v", &mut layer.self_attn.v_proj),
        ("attn_output", &mut layer.self_attn.o_proj),
        ("ffn_gate", &mut layer.mlp.gate_proj),
        ("ffn_up", &mut layer.mlp.up_proj),
        ("ffn_down", &mut layer.mlp.down_proj),
    ]
}

/// Takes both halves of a pair; a layer without a pair stays as it is.
fn attach(
    file: &str,
    linear: &mut Linear,
    task: Task,
    alpha: f32,
    [name_a, name_b]: [String; 2],
    tensors: &mut BTreeMap<String, (Vec<usize>, Tensor<1>)>,
) -> Result<()> {
    let [n_out, n_in] = linear.weight.dims();
    let (a, b) = match (tensors.remove(&name_a), tensors.remove(&name_b)) {
        (None, None) => return Ok(()),
        (Some(a), Some(b)) => (a, b),
        (Some((shape, _)), None) => return Err(missing(file, name_b, vec![n_out, shape[0]])),
        (None, Some((shape, _))) => {
            return Err(missing(
                file,
                name_a,
                vec![shape.last().copied().unwrap_or(0), n_in],
            ));
        }
    };
    let rank = a.0[0];
    for (name, found, needed) in [
        (name_a, &a.0, vec![rank, n_in]),
        (name_b, &b.0, vec![n_out, rank]),
    ] {
        if *found != needed {
            return Err(Error::WrongShape {
                file: file.to_string(),
                tensor: name,
                needed,
                found: found.clone(),
            }
            .into());
        }
    }
    let scale = f64::from(alpha) / rank as f64;
    let b = b.1.reshape([n_out, rank]);
    let b = if scale == 1.0 { b } else { b.mul_scalar(scale) };
    linear.adapters.insert(
        task,
        LowRank {
            a: a.1.reshape([rank, n_in]),
            b,
        },
    );
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
