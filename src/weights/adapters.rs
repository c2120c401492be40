//! Task adapters: llama.cpp's LoRA files for the decoder, one pair per task for the projector.

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
    tensors: &mut Tensors,
) -> Result<()> {
    let [n_out, n_in] = linear.weight.dims();
    let (a, b) = match (tensors.remove(&name_a), tensors.remove(&name_b)) {
        (None, None) => return Ok(()),
        (Some(a), Some(b)) => (a, b),
        (Some(a), None) => {
            let rank = a.shape().first().copied().unwrap_or(0);
            return Err(missing(file, name_b, vec![n_out, rank]));
        }
        (None, Some(b)) => {
            let rank = b.shape().last().copied().unwrap_or(0);
            return Err(missing(file, name_a, vec![rank, n_in]));
        }
    };
    let rank = a.shape().first().copied().unwrap_or(0);
    for (name, found, needed) in [
        (name_a, a.shape(), [rank, n_in]),
        (name_b, b.shape(), [n_out, rank]),
    ] {
        if found != needed {
            return Err(Error::WrongShape {
                file: file.to_string(),
                tensor: name,
                needed: needed.to_vec(),
                found: found.to_vec(),
            }
            .into());
        }
    }
    let scale = f64::from(alpha) / rank as f64;
    let b = match scale == 1.0 {
        true => b.into_weight([n_out, rank]),
        false => b.into_dense([n_out, rank]).mul_scalar(scale).into(),
    };
    let a = a.into_weight([rank, n_in]);
    linear.adapters.insert(task, LowRank { a, b });
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
