//! Elements one by one, and blocks of 32, as ggml's reference quantisers make them.
//!
//! Each block of 32 is scaled by one division and one reciprocal in `f32`; the stored scale is the
//! `f16` nearest to it, while the weights are rounded with the unrounded one.

use half::bf16;

use super::{half_bytes, largest, reciprocal};

/// Elements per block of all block formats here.
const BLOCK: usize = 32;

/// Converts one by one; the index of the first value that has no counterpart, if there is one.
pub(super) fn each<const BYTES: usize>(
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

pub(super) fn f16(value: f32) -> Option<[u8; 2]> {
    half_bytes(value)
}

pub(super) fn bf16(value: f32) -> Option<[u8; 2]> {
    let half = bf16::from_f32(value);
    half.is_finite().then(|| half.to_le_bytes())
}

/// d = max |x| / 127; q = round(x / d), half away from zero
pub(super) fn q8_0(block: &[f32; BLOCK]) -> Option<[u8; 34]> {
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
pub(super) fn pack_nibbles(weights: &[u8; BLOCK], out: &mut [u8]) {
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

pub(super) fn q4_0(block: &[f32; BLOCK]) -> Option<[u8; 18]> {
    let (d, weights) = around_zero(block, 8.0)?;
    let mut out = [0; 18];
    out[..2].copy_from_slice(&d);
    pack_nibbles(&weights, &mut out[2..]);
    Some(out)
}

pub(super) fn q4_1(block: &[f32; BLOCK]) -> Option<[u8; 20]> {
    let (d, min, weights) = above_min(block, 15)?;
    let mut out = [0; 20];
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&min);
    pack_nibbles(&weights, &mut out[4..]);
    Some(out)
}

pub(super) fn q5_0(block: &[f32; BLOCK]) -> Option<[u8; 22]> {
    let (d, weights) = around_zero(block, 16.0)?;
    let mut out = [0; 22];
    out[..2].copy_from_slice(&d);
    out[2..6].copy_from_slice(&fifth_bits(&weights));
    pack_nibbles(&weights, &mut out[6..]);
    Some(out)
}

pub(super) fn q5_1(block: &[f32; BLOCK]) -> Option<[u8; 24]> {
    let (d, min, weights) = above_min(block, 31)?;
    let mut out = [0; 24];
    out[..2].copy_from_slice(&d);
    out[2..4].copy_from_slice(&min);
    out[4..8].copy_from_slice(&fifth_bits(&weights));
    pack_nibbles(&weights, &mut out[8..]);
    Some(out)
}
