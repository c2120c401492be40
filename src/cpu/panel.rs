//! A stretch of K of one tile of a matrix, decoded to what the products multiply.

use super::{
    format::{Format, GROUP, SubScales, TILE},
    matrix::{HalfKind, TABLE},
    simd::{Kernel, Lanes},
};

/// Weights of a row in a panel of whole numbers: with 32 rows 16 KiB, half of a small first-level
/// cache.
pub const PANEL_K: usize = 256;

/// Weights of a row in a panel of f32, which takes the same bytes.
pub const FLOAT_PANEL_K: usize = PANEL_K / 2;

/// Sub-blocks of a panel at most.
const MAX_SUBS: usize = PANEL_K / 16;

/// Whole numbers with their scales.
pub struct IntPanel {
    /// `[PANEL_K / 2][TILE]` pairs of 16 bits, the even weight low
    pub pairs: Vec<i32>,
    /// `[sub-blocks][TILE]`
    pub d: Vec<f32>,
    /// `[sub-blocks][TILE]`, subtracted
    pub min: Vec<f32>,
}

impl IntPanel {
    pub fn new() -> Self {
        Self {
            pairs: vec![0; PANEL_K / 2 * TILE],
            d: vec![0.0; MAX_SUBS * TILE],
            min: vec![0.0; MAX_SUBS * TILE],
        }
    }
}

/// Decodes consecutive records of a tile, together at most [`PANEL_K`] weights of a row.
pub struct DecodeRecords<'a> {
    pub format: &'a Format,
    pub records: &'a [u8],
    pub panel: &'a mut IntPanel,
}

impl Kernel for DecodeRecords<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let format = self.format;
        let records = self.records.chunks_exact(format.record_bytes());
        assert!(records.len() * format.block <= PANEL_K);
        for (n, record) in records.enumerate() {
            let pairs = &mut self.panel.pairs[n * format.block / 2 * TILE..];
            let subs = n * format.n_subs() * TILE;
            // SAFETY: the caller vouches for V; a record holds what the format says, and the
            // panel has room for it, both checked by the slices.
            unsafe {
                codes::<V>(format, record, &mut pairs[..format.block / 2 * TILE]);
                scales::<V>(
                    format,
                    record,
                    &mut self.panel.d[subs..][..format.n_subs() * TILE],
                    &mut self.panel.min[subs..][..format.n_subs() * TILE],
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn codes<V: Lanes>(format: &Format, record: &[u8], pairs: &mut [i32]) {
    let groups = record[..format.halves_at()].chunks_exact(format.group_bytes());
    for (words, pairs) in groups.zip(pairs.chunks_exact_mut(GROUP / 2 * TILE)) {
        // SAFETY: a group has `group_bytes`, and its pairs have `GROUP / 2 * TILE` places.
        unsafe {
            match (format.low_bits, format.high_bits, format.has_table) {
                (4, 0, false) => group::<V, 4, 0, false>(format, words, pairs),
                (4, 0, true) => group::<V, 4, 0, true>(format, words, pairs),
                (4, 1, _) => group::<V, 4, 1, false>(format, words, pairs),
                (4, _, _) => group::<V, 4, 2, false>(format, words, pairs),
                (2, 0, _) => group::<V, 2, 0, false>(format, words, pairs),
                (2, _, _) => group::<V, 2, 1, false>(format, words, pairs),
                _ => group::<V, 8, 0, false>(format, words, pairs),
            }
        }
    }
}

/// 32 weights of every row.
#[inline(always)]
unsafe fn group<V: Lanes, const LOW: usize, const HIGH: usize, const HAS_TABLE: bool>(
    format: &Format,
    words: &[u8],
    pairs: &mut [i32],
) {
    assert!(words.len() >= (LOW + HIGH) * TILE * 4 && pairs.len() >= GROUP / 2 * TILE);
    let (low, out) = (words.as_ptr(), pairs.as_mut_ptr().cast::<u8>());
    // SAFETY: a plane of B bits has B words of TILE rows; the lengths were checked above.
    unsafe {
        let high = low.add(LOW * TILE * 4);
        let low_mask = V::splat_i16(((1u32 << LOW) - 1) as i16);
        let high_mask = V::splat_i16(((1u32 << HIGH) - 1) as i16);
        let offset = V::splat_i16(format.offset);
        let table = V::table(&TABLE);
        for lane in (0..TILE).step_by(V::N) {
            for word in 0..LOW {
                let packed = V::load_i(low.add((word * TILE + lane) * 4));
                for s in 0..16 / LOW {
                    let pair = word * (16 / LOW) + s;
                    let shift = (s * LOW) as u32;
                    let mut q = if LOW == 8 {
                        V::shr_i16(V::shl_i16(packed, 8 - shift), 8)
                    } else {
                        V::and(V::shr_u16(packed, shift), low_mask)
                    };
                    if HIGH > 0 {
                        let per_word = 16 / HIGH.max(1);
                        let at = (pair / per_word * TILE + lane) * 4;
                        let shift = (pair % per_word * HIGH) as u32;
                        let bits = V::and(V::shr_u16(V::load_i(high.add(at)), shift), high_mask);
                        q = V::or(q, V::shl_i16(bits, LOW as u32));
                    }
                    if HAS_TABLE {
                        q = V::shr_i16(V::shl_i16(V::lookup(table, q), 8), 8);
                    } else if LOW < 8 {
                        q = V::sub_i16(q, offset);
                    }
                    V::store_i(q, out.add((pair * TILE + lane) * 4));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn scales<V: Lanes>(format: &Format, record: &[u8], d: &mut [f32], min: &mut [f32]) {
    let n_subs = format.n_subs();
    assert!(record.len() == format.record_bytes());
    assert!(d.len() >= n_subs * TILE && min.len() >= n_subs * TILE);
    // SAFETY: the lengths were checked above; offsets are those of the format's own layout.
    unsafe {
        let halves = record.as_ptr().add(format.halves_at()).cast::<u16>();
        let bytes = record.as_ptr().add(format.sub_scales_at());
        let nibble = V::splat_i32(0x0f);
        for lane in (0..TILE).step_by(V::N) {
            let block_d = V::load_f16(halves.add(lane));
            let block_min = match format.has_min {
                true => V::load_f16(halves.add(TILE + lane)),
                false => V::splat(0.0),
            };
            for sub in 0..n_subs {
                let at = sub * TILE + lane;
                let byte = || V::load_i8(bytes.add(at));
                let (sub_d, sub_min) = match format.sub_scales {
                    SubScales::None => (block_d, block_min),
                    SubScales::Nibbles => {
                        let (low, high) = (V::and(byte(), nibble), V::shr_u16(byte(), 4));
                        (
                            V::mul(block_d, V::from_i32(low)),
                            V::mul(block_min, V::from_i32(V::and(high, nibble))),
                        )
                    }
                    SubScales::Bytes => {
                        let sub_d = V::mul(block_d, V::from_i32(byte()));
                        match format.has_min {
                            false => (sub_d, block_min),
                            true => {
                                let byte = V::load_i8(bytes.add(n_subs * TILE + at));
                                (sub_d, V::mul(block_min, V::from_i32(byte)))
                            }
                        }
                    }
                };
                V::store(sub_d, d.as_mut_ptr().add(at));
                V::store(sub_min, min.as_mut_ptr().add(at));
            }
        }
    }
}

/// Widens halves to f32, one for one.
pub struct DecodeHalves<'a> {
    pub kind: HalfKind,
    /// A multiple of [`TILE`].
    pub halves: &'a [u16],
    pub out: &'a mut [f32],
}

impl Kernel for DecodeHalves<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        assert_eq!(self.halves.len(), self.out.len());
        assert!(self.halves.len().is_multiple_of(TILE));
        match self.kind {
            HalfKind::Bf16 => {
                for (out, bits) in self.out.iter_mut().zip(self.halves) {
                    *out = f32::from_bits(u32::from(*bits) << 16);
                }
            }
            HalfKind::F16 => {
                for at in (0..self.halves.len()).step_by(V::N) {
                    // SAFETY: V::N divides TILE, and TILE the lengths.
                    unsafe {
                        let value = V::load_f16(self.halves.as_ptr().add(at));
                        V::store(value, self.out.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}
