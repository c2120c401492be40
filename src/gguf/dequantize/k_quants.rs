//! Super-blocks of 256: one or two `f16` scales over sub-blocks of 16 or 32 with scales of their
//! own in a few bits.

use super::half_at;
use super::plain::IQ4_VALUES;

/// The scale and the minimum of sub-block `i` of 8, six bits each, as Q4_K and Q5_K pack them.
///
/// Bytes 0..4 hold scales 0..4 and bytes 4..8 minima 0..4 in their low six bits. Bytes 8..12 hold
/// the low four bits of scales and minima 4..8; their top two bits are the top two bits of bytes
/// 0..4 and 4..8.
#[inline(always)]
fn scale_and_min(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        let scale = (packed[i + 4] & 0x0f) | ((packed[i - 4] >> 6) << 4);
        let min = (packed[i + 4] >> 4) | ((packed[i] >> 6) << 4);
        (scale, min)
    };
    (f32::from(scale), f32::from(min))
}

/// 16 x (4-bit scale, 4-bit min) · 64 bytes of 2-bit weights · d f16 · dmin f16
///
/// weight = d scale q - dmin min. Byte `l` of a half (128 weights, 32 bytes) holds weights
/// `l`, `l + 32`, `l + 64`, `l + 96` from its low bits up; sub-blocks have 16 weights.
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, rest) = block.split_at(16);
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, shift, first) = (sub / 8, (sub % 8) / 2 * 2, sub % 2 * 16);
        let scale = d * f32::from(scales[sub] & 0x0f);
        let min = dmin * f32::from(scales[sub] >> 4);
        for (out, q) in out.iter_mut().zip(&rest[half * 32 + first..]) {
            *out = scale * f32::from((q >> shift) & 3) - min;
        }
    }
}

/// 32 bytes of high bits · 64 bytes of 2-bit weights · 16 x 6-bit scale in 12 bytes · d f16
///
/// weight = d (scale - 32) (q - 4 where the high bit is absent). Weights lie as in Q2_K; the high
/// bit of group `g` of 32 weights is bit `g` of byte `l`.
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (high_bits, rest) = block.split_at(32);
    let (qs, rest) = rest.split_at(64);
    let d = half_at(block, 108);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, shift, first) = (sub / 8, (sub % 8) / 2 * 2, sub % 2 * 16);
        // Eight bytes hold sixteen low nibbles, four more bytes sixteen pairs of high bits.
        let low = (rest[sub % 8] >> (sub / 8 * 4)) & 0x0f;
        let high = (rest[8 + sub % 4] >> (sub / 4 * 2)) & 3;
        let scale = d * f32::from((low | (high << 4)) as i8 - 32);
        let weights = qs[half * 32 + first..].iter().zip(&high_bits[first..]);
        for (out, (q, high)) in out.iter_mut().zip(weights) {
            let missing = if high >> (sub / 2) & 1 == 1 { 0 } else { 4 };
            *out = scale * f32::from(((q >> shift) & 3) as i8 - missing);
        }
    }
}

/// d f16 · dmin f16 · 8 x (6-bit scale, 6-bit min) in 12 bytes · 128 bytes of 4-bit weights
///
/// weight = d scale q - dmin min. Byte `l` of a quarter (64 weights, 32 bytes) holds weight `l`
/// (low) and `l + 32` (high).
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (packed, qs) = block[4..].split_at(12);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(packed, sub);
        let (scale, min) = (d * scale, dmin * min);
        let shift = sub % 2 * 4;
        for (out, q) in out.iter_mut().zip(&qs[sub / 2 * 32..]) {
            *out = scale * f32::from((q >> shift) & 0x0f) - min;
        }
    }
}

/// d f16 · dmin f16 · 8 x (6-bit scale, 6-bit min) in 12 bytes · 32 bytes of fifth bits ·
/// 128 bytes of four-bit weights
///
/// As Q4_K; the fifth bit of weight `l` of sub-block `sub` is bit `sub` of byte `l`.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (packed, rest) = block[4..].split_at(12);
    let (fifth, qs) = rest.split_at(32);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(packed, sub);
        let (scale, min) = (d * scale, dmin * min);
        let shift = sub % 2 * 4;
        for (out, (q, fifth)) in out.iter_mut().zip(qs[sub / 2 * 32..].iter().zip(fifth)) {
            let q = ((q >> shift) & 0x0f) | (((fifth >> sub) & 1) << 4);
            *out = scale * f32::from(q) - min;
        }
    }
}

/// 128 bytes of low nibbles · 64 bytes of high bit pairs · 16 x i8 scale · d f16
///
/// weight = d scale (q - 32). In a half (128 weights) group `g` of 32 weights takes its nibbles
/// from bytes 32 (g % 2) + `l`, low for g < 2 and high for the others, and its two high bits from
/// bits 2g of byte `l`. Sub-blocks have 16 weights.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, rest) = block.split_at(128);
    let (high, scales) = rest.split_at(64);
    let d = half_at(block, 208);
    for (sub, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, group, first) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
        let scale = d * f32::from(scales[sub] as i8);
        let low = &low[half * 64 + group % 2 * 32 + first..];
        let high = &high[half * 32 + first..];
        for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
            let low = (low >> (group / 2 * 4)) & 0x0f;
            let high = (high >> (group * 2)) & 3;
            *out = scale * f32::from((low | (high << 4)) as i8 - 32);
        }
    }
}

/// d f16 · 8 x 2 high scale bits · 8 x 4 low scale bits · 8 x 16 bytes of 4-bit weights
///
/// weight = d (scale - 32) `IQ4_VALUES[q]`. Within a sub-block of 32, byte `l` holds weight `l`
/// (low) and `l + 16` (high).
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let scales_high = u16::from_le_bytes([block[2], block[3]]);
    let (scales_low, qs) = block[4..].split_at(4);
    for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = (scales_low[sub / 2] >> (sub % 2 * 4)) & 0x0f;
        let high = (scales_high >> (sub * 2)) as u8 & 3;
        let scale = d * f32::from((low | (high << 4)) as i8 - 32);
        let (first, second) = out.split_at_mut(16);
        for ((q, first), second) in qs[sub * 16..].iter().zip(first).zip(second) {
            *first = scale * f32::from(IQ4_VALUES[usize::from(q & 0x0f)]);
            *second = scale * f32::from(IQ4_VALUES[usize::from(q >> 4)]);
        }
    }
}
