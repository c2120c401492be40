//! `f32` to blocks.
//!
//! Blocks of 32 are made byte for byte as ggml's reference quantisers and the Python package
//! `gguf` make them; super-blocks of 256, and blocks of 32 with importances, by a search for the
//! scales that lose least ([`k_quants`], [`search`]).

mod k_quants;
mod plain;
mod search;

use half::f16;

use super::error::Error;
use super::tensor::TensorType;

/// Appends `values` to `out` as whole blocks of `tensor_type`: F32, F16, BF16, Q8_0, Q4_0, Q4_1,
/// Q5_0, Q5_1, Q4_K, Q5_K or Q6_K.
///
/// Fails, with `out` as it was, on a type that can only be read, on a number of values that is not
/// whole blocks, and on a value that the type cannot hold: NaN and infinity (F32 keeps them), or
/// beyond the largest finite number of the type or of its `f16` scale.
pub fn quantize(tensor_type: TensorType, values: &[f32], out: &mut Vec<u8>) -> Result<(), Error> {
    encode(tensor_type, values, None, out)
}

/// As [`quantize`], for rows whose columns matter differently: an error of column `i` counts
/// `importance[i]` times. Q4_0 and the super-blocks heed it; the other types have nothing to choose.
///
/// - `values`: `[rows, importance.len()]`
/// - `importance`: one number per column, not negative; the mean square of what the column is
///   multiplied with
///
/// Fails as [`quantize`] does, and unless the values are whole rows, which are whole blocks.
pub fn quantize_rows(
    tensor_type: TensorType,
    values: &[f32],
    importance: &[f32],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let n_columns = importance.len();
    let block_elements = tensor_type.block_elements();
    let whole = n_columns > 0 && values.len().is_multiple_of(n_columns);
    if !whole || !n_columns.is_multiple_of(block_elements) {
        return Err(Error::NotBlocks {
            tensor_type,
            n_elements: if whole { n_columns } else { values.len() },
            block_elements,
        });
    }
    encode(tensor_type, values, Some(importance), out)
}

fn encode(
    tensor_type: TensorType,
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let n_bytes = tensor_type
        .n_bytes(values.len() as u64)
        .ok_or(Error::NotBlocks {
            tensor_type,
            n_elements: values.len(),
            block_elements: tensor_type.block_elements(),
        })?;
    let start = out.len();
    // In range: the input of at least this order of size is in memory.
    out.reserve(n_bytes as usize);
    let failed_at = match (tensor_type, importance) {
        (TensorType::F32, _) => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            None
        }
        (TensorType::F16, _) => plain::each(values, out, plain::f16),
        (TensorType::BF16, _) => plain::each(values, out, plain::bf16),
        (TensorType::Q8_0, _) => blocks(values, None, out, |block, _| plain::q8_0(block)),
        (TensorType::Q4_0, None) => blocks(values, None, out, |block, _| plain::q4_0(block)),
        (TensorType::Q4_0, _) => searched(tensor_type, values, importance, out),
        (TensorType::Q4_1, _) => blocks(values, None, out, |block, _| plain::q4_1(block)),
        (TensorType::Q5_0, _) => blocks(values, None, out, |block, _| plain::q5_0(block)),
        (TensorType::Q5_1, _) => blocks(values, None, out, |block, _| plain::q5_1(block)),
        (TensorType::Q4_K | TensorType::Q5_K | TensorType::Q6_K, _) => {
            searched(tensor_type, values, importance, out)
        }
        _ => return Err(Error::CannotQuantize { tensor_type }),
    };
    match failed_at {
        None => Ok(()),
        Some(at_element) => {
            out.truncate(start);
            Err(Error::NotRepresentable {
                tensor_type,
                at_element,
                value: values[at_element],
            })
        }
    }
}

/// Blocks whose scales are searched for, with the widest vectors that the processor has: the same
/// bytes in less time, since no operation is fused or reordered.
fn searched(
    tensor_type: TensorType,
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut Vec<u8>,
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { searched_avx2(tensor_type, values, importance, out) };
    }
    searched_here(tensor_type, values, importance, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn searched_avx2(
    tensor_type: TensorType,
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut Vec<u8>,
) -> Option<usize> {
    searched_here(tensor_type, values, importance, out)
}

#[inline(always)]
fn searched_here(
    tensor_type: TensorType,
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut Vec<u8>,
) -> Option<usize> {
    match tensor_type {
        TensorType::Q4_K => blocks(values, importance, out, k_quants::q4_k),
        TensorType::Q5_K => blocks(values, importance, out, k_quants::q5_k),
        TensorType::Q6_K => blocks(values, importance, out, k_quants::q6_k),
        _ => blocks(values, importance, out, search::q4_0),
    }
}

/// Converts block by block, each with the importances of its columns; the index of the value that
/// makes a block impossible, if there is one.
#[inline(always)]
fn blocks<const ELEMENTS: usize, const BYTES: usize>(
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut Vec<u8>,
    encode: impl Fn(&[f32; ELEMENTS], Option<&[f32; ELEMENTS]>) -> Option<[u8; BYTES]>,
) -> Option<usize> {
    let importance = importance.map(|importance| importance.as_chunks::<ELEMENTS>().0);
    for (index, block) in values.as_chunks::<ELEMENTS>().0.iter().enumerate() {
        let not_finite = block.iter().position(|value| !value.is_finite());
        let weights = importance.map(|blocks| &blocks[index % blocks.len()]);
        let bytes = match not_finite {
            None => encode(block, weights),
            Some(_) => None,
        };
        let Some(bytes) = bytes else {
            return Some(index * ELEMENTS + not_finite.unwrap_or(largest(block).0));
        };
        out.extend_from_slice(&bytes);
    }
    None
}

/// The place and value of the first element of largest magnitude; +0 for a block of zeros of
/// either sign, as in ggml's C.
fn largest(block: &[f32]) -> (usize, f32) {
    let mut found = (0, 0.0_f32);
    for (index, value) in block.iter().enumerate() {
        if value.abs() > found.1.abs() {
            found = (index, *value);
        }
    }
    found
}

/// 1 / d, and 0 where d is 0 or so small that its reciprocal overflows: then the stored `f16`
/// scale is 0, and all weights decode to zero anyway.
fn reciprocal(d: f32) -> f32 {
    if d == 0.0 || !(1.0 / d).is_finite() {
        0.0
    } else {
        1.0 / d
    }
}

/// The bytes of the `f16` nearest to a scale or minimum, if that is finite.
fn half_bytes(value: f32) -> Option<[u8; 2]> {
    let half = f16::from_f32(value);
    half.is_finite().then(|| half.to_le_bytes())
}
