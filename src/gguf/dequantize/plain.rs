//! Elements stored one by one, and blocks of 32.
//!
//! In a block of 32 with four-bit parts, byte `l` holds weight `l` (low) and weight `l + 16` (high).

use super::half_at;

/// The non-linear 4-bit code: index to value, shared by IQ4_NL and IQ4_XS.
pub(super) const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

pub(super) fn f32(block: &[u8; 4], out: &mut [f32; 1]) {
    out[0] = f32::from_le_bytes(*block);
}

pub(super) fn f16(block: &[u8; 2], out: &mut [f32; 1]) {
    out[0] = half_at(block, 0);
}

pub(super) fn bf16(block: &[u8; 2], out: &mut [f32; 1]) {
    out[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
}

/// d f16 · 32 x i8; weight = d q
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(*q as i8) * d;
    }
}

/// d f16 · 16 bytes; weight = d (q - 8)
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((q, low), high) in block[2..].iter().zip(low).zip(high) {
        *low = f32::from((q & 0x0f) as i8 - 8) * d;
        *high = f32::from((q >> 4) as i8 - 8) * d;
    }
}

/// d f16 · m f16 · 16 bytes; weight = d q + m
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((q, low), high) in block[4..].iter().zip(low).zip(high) {
        *low = f32::from(q & 0x0f) * d + m;
        *high = f32::from(q >> 4) * d + m;
    }
}

/// Weight `l` and weight `l + 16` of a five-bit block: `fifth` holds bit 4 of weight `i` at bit `i`.
#[inline(always)]
fn five_bits(q: u8, fifth: u32, l: usize) -> (u8, u8) {
    let low = (q & 0x0f) | (((fifth >> l) & 1) as u8 * 16);
    let high = (q >> 4) | (((fifth >> (l + 16)) & 1) as u8 * 16);
    (low, high)
}

/// d f16 · 32 fifth bits · 16 bytes; weight = d (q - 16)
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for (l, q) in block[6..].iter().enumerate() {
        let (low, high) = five_bits(*q, fifth, l);
        out[l] = f32::from(low as i8 - 16) * d;
        out[l + 16] = f32::from(high as i8 - 16) * d;
    }
}

/// d f16 · m f16 · 32 fifth bits · 16 bytes; weight = d q + m
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let fifth = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for (l, q) in block[8..].iter().enumerate() {
        let (low, high) = five_bits(*q, fifth, l);
        out[l] = f32::from(low) * d + m;
        out[l + 16] = f32::from(high) * d + m;
    }
}

/// d f16 · 16 bytes; weight = d `IQ4_VALUES[q]`
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((q, low), high) in block[2..].iter().zip(low).zip(high) {
        *low = d * f32::from(IQ4_VALUES[usize::from(q & 0x0f)]);
        *high = d * f32::from(IQ4_VALUES[usize::from(q >> 4)]);
    }
}
