//! `f32` to blocks, byte for byte as ggml's reference quantisers and the Python package `gguf` do.
//!
//! Each block of 32 is scaled by one division and one reciprocal in `f32`; the stored scale is the
//! `f16` nearest to it, while the weights are rounded with the unrounded one.

use half::{bf16, f16};

use super::error::Error;
use super::tensor::TensorType;

/// Elements per block of all block formats that can be written.
const BLOCK: usize = 32;

/// Appends `values` to `out` as whole blocks of `tensor_type`: F32, F16, BF16, Q8_0, Q4_0, Q4_1,
/// Q5_0 or Q5_1.
///
/// Fails, with `out` as it was, on a type that can only be read, on a number of values that is not
/// whole blocks, and on a value that the type cannot hold: NaN and infinity (F32 keeps them), or
/// beyond the largest finite number of the type or of its `f16` scale.
pub fn quantize(tensor_type: TensorType, values: &[f32], out: &mut Vec<u8>) -> Result<(), Error> {
    let block_elements = tensor_type.block_elements();
    let n_bytes = tensor_type
        .n_bytes(values.len() as u64)
        .ok_or(Error::NotBlocks {
            tensor_type,
            n_elements: values.len(),
            block_elements,
        })?;
    let start = out.len();
    // In range: the input of at least this order of size is in memory.
    out.reserve(n_bytes as usize);
    let failed_at = match tensor_type {
        TensorType::F32 => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            None
        }
        TensorType::F16 => each(values, out, |value| {
            let half = f16::from_f32(value);
            half.is_finite().then(|| half.to_le_bytes())
        }),
        TensorType::BF16 => each(values, out, |value| {
            let half = bf16::from_f32(value);
            half.is_finite().then(|| half.to_le_bytes())
        }),
        TensorType::Q8_0 => blocks(values, out, q8_0),
        TensorType::Q4_0 => blocks(values, out, q4_0),
        TensorType::Q4_1 => blocks(values, out, q4_1),
        TensorType::Q5_0 => blocks(values, out, q5_0),
        TensorType::Q5_1 => blocks(values, out, q5_1),
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

/// Converts one by one; the index of the first value that has no counterpart, if there is one.
fn each<const BYTES: usize>(
    values: &[f32],
    out: &mut Vec<u8>,
    encode: impl Fn(f32) -> Option<[u8; BYTES]>,
) -> Option<usize> {
    for (index, value) in values.iter().enumerate() {
        let Some(bytes) = encode(*value) else {
            return Some(index);
        };
        out.extend_from_slice(&bytes);
    }
    None
}

/// Converts block by block; the index of the value that makes a block impossible, if there is one.
fn blocks<const BYTES: usize>(
    values: &[f32],
    out: &mut Vec<u8>,
    encode: impl Fn(&[f32; BLOCK]) -> Option<[u8; BYTES]>,
) -> Option<usize> {
    for (index, block) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
        let not_finite = block.iter().position(|value| !value.is_finite());
        let bytes = if not_finite.is_none() {
            encode(block)
        } else {
            None
        };
        let Some(bytes) = bytes else {
            return Some(index * BLOCK + not_finite.unwrap_or(largest(block).0));
        };
        out.extend_from_slice(&bytes);
    }
    None
}

/// The place and value of the first element of largest magnitude; +0 for a block of zeros of
/// either sign, as in ggml's C.
fn largest(block: &[f32; BLOCK]) -> (usize, f32) {
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

/// d = max |x| / 127; q = round(x / d), half away from zero
fn q8_0(block: &[f32; BLOCK]) -> Option<[u8; 34]> {
    let d = largest(block).1.abs() / 127.0;
    let inverse = reciprocal(d);
    let mut out = [0; 34];
    out[..2].copy_from_slice(&half_bytes(d)?);
    for (out, value) in out[2..].iter_mut().zip(block) {
        *out = (value * inverse).round() as i8 as u8;
    }
    Some(out)
}

/// Weights `0 ..= top` around an offset, as the formats without a minimum have them: the value of
/// largest magnitude becomes exactly 0, the other end `top`.
fn around_zero(block: &[f32; BLOCK], half_range: f32) -> Option<([u8; 2], [u8; BLOCK])> {
    let d = largest(block).1 / -half_range;
    let inverse = reciprocal(d);
    let top = half_range as u8 * 2 - 1;
    // `as` truncates towards zero and saturates, like the cast in ggml where that is defined.
    let weights = block.map(|value| ((value * inverse + (half_range + 0.5)) as u8).min(top));
    Some((half_bytes(d)?, weights))
}

/// Weights `0 ..= top` from the least value up, as the formats with a minimum have them.
fn above_min(block: &[f32; BLOCK], top: u8) -> Option<([u8; 2], [u8; 2], [u8; BLOCK])> {
    let min = block
        .iter()
        .copied()
        .fold(block[0], |least, x| if x < least { x } else { least });
    let max = block
        .iter()
        .copied()
        .fold(block[0], |most, x| if x > most { x } else { most });
    let d = (max - min) / f32::from(top);
    let inverse = reciprocal(d);
    let weights = block.map(|value| (((value - min) * inverse + 0.5) as u8).min(top));
    Some((half_bytes(d)?, half_bytes(min)?, weights))
}

/// Byte `l` takes the low nibbles of weights `l` and `l + 16`.
fn pack_nibbles(weights: &[u8; BLOCK], out: &mut [u8]) {
    for (l, out) in out.iter_mut().enumerate() {
        *out = (weights[l] & 0x0f) | (weights[l + 16] & 0x0f) << 4;
    }
}

/// Bit `i` of the result is bit 4 of weight `i`.
fn fifth_bits(weights: &[u8; BLOCK]) -> [u8; 4] {
    let bits = weights
        .iter()
        .enumerate()
        .fold(0, |bits, (i, q)| bits | u32::from(q >> 4) << i);
    bits.to_le_bytes()
}

fn q4_0(block: &[f32; BLOCK]) -> Option<[u8; 18]> {
    let (d, weights) = around_zero(block, 8.0)?;
    let mut out = [0; 18];
    out[..2].copy_from_slice(&d);
    pack_nibbles(&weights, &mut out[2..]);
    Some(out)
}

fn q4_1(block: &[f32; BLOCK]) -> Option<[u8; 20]> {
    let (d, min, weights) = above_min(block, 15)?;
    let mut out = [0; 20];
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&min);
    pack_nibbles(&weights, &mut out[4..]);
    Some(out)
}

fn q5_0(block: &[f32; BLOCK]) -> Option<[u8; 22]> {
    let (d, weights) = around_zero(block, 16.0)?;
    let mut out = [0; 22];
    out[..2].copy_from_slice(&d);
    out[2..6].copy_from_slice(&fifth_bits(&weights));
    pack_nibbles(&weights, &mut out[6..]);
    Some(out)
}

fn q5_1(block: &[f32; BLOCK]) -> Option<[u8; 24]> {
    let (d, min, weights) = above_min(block, 31)?;
    let mut out = [0; 24];
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&min);
    out[4..8].copy_from_slice(&fifth_bits(&weights));
    pack_nibbles(&weights, &mut out[8..]);
    Some(out)
}
