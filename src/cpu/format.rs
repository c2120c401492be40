//! How a quantised matrix lies in memory for the products.
//!
//! Rows stand side by side, [`TILE`] of them, so that one vector instruction works on as many rows
//! as it has lanes. A tile is a sequence of records, one per block of K, and a record is
//!
//! ```text
//! for each 32 of K:  low bits  [32 / (32 / low)][TILE] u32
//!                    high bits [32 / (32 / high)][TILE] u32, if the format has any
//! d     [TILE] f16
//! min   [TILE] f16                            if the format has minima
//! scale [sub-blocks][TILE] i8                 if the block has sub-blocks
//! min   [sub-blocks][TILE] i8                 if it has both, unless both share a byte
//! ```
//!
//! A word belongs to one row and holds consecutive weights in pairs: of pair `s` the even weight
//! lies at bit `s * bits` of the low half, the odd one at the same bit of the high half. A shift
//! and a mask of 16-bit lanes then leave the pair as a product of 16-bit pairs wants it.
//!
//! Only the order differs from the file. What a record takes beyond the blocks is at most 3 bytes
//! of a hundred, where six-bit scales become bytes.

use crate::gguf::TensorType;

/// Rows of a tile.
pub const TILE: usize = 32;

/// Consecutive weights whose words lie together.
pub const GROUP: usize = 32;

/// The scales below the `f16` of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubScales {
    None,
    /// A signed byte for each sub-block and, if the format has minima, another for its minimum.
    Bytes,
    /// Scale in the low nibble of a byte, minimum in the high one.
    Nibbles,
}

/// One quantised format: `weight = d * scale * (q - offset) - min * sub_min`, where `q` passes
/// through ggml's table first if the format has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// 2, 4, or 8 with a sign.
    pub low_bits: usize,
    /// 0, 1 or 2 more, above the low ones.
    pub high_bits: usize,
    pub offset: i16,
    pub has_table: bool,
    /// Weights of a block.
    pub block: usize,
    /// Weights that share a scale: 16 or 32.
    pub sub: usize,
    pub has_min: bool,
    pub sub_scales: SubScales,
}

impl Format {
    /// The format of a type, unless its elements are stored one by one.
    pub const fn of(tensor_type: TensorType) -> Option<Format> {
        const fn small(low: usize, high: usize, offset: i16, has_min: bool) -> Format {
            Format {
                low_bits: low,
                high_bits: high,
                offset,
                has_table: false,
                block: 32,
                sub: 32,
                has_min,
                sub_scales: SubScales::None,
            }
        }
        const fn large(low: usize, high: usize, offset: i16, has_min: bool, sub: usize) -> Format {
            let mut format = small(low, high, offset, has_min);
            format.block = 256;
            format.sub = sub;
            format.sub_scales = SubScales::Bytes;
            format
        }
        const fn with_table(mut format: Format) -> Format {
            format.has_table = true;
            format
        }
        Some(match tensor_type {
            TensorType::Q4_0 => small(4, 0, 8, false),
            TensorType::Q4_1 => small(4, 0, 0, true),
            TensorType::Q5_0 => small(4, 1, 16, false),
            TensorType::Q5_1 => small(4, 1, 0, true),
            TensorType::Q8_0 => small(8, 0, 0, false),
            TensorType::IQ4_NL => with_table(small(4, 0, 0, false)),
            TensorType::Q2_K => {
                let mut format = large(2, 0, 0, true, 16);
                format.sub_scales = SubScales::Nibbles;
                format
            }
            TensorType::Q3_K => large(2, 1, 4, false, 16),
            TensorType::Q4_K => large(4, 0, 0, true, 32),
            TensorType::Q5_K => large(4, 1, 0, true, 32),
            TensorType::Q6_K => large(4, 2, 32, false, 16),
            TensorType::IQ4_XS => with_table(large(4, 0, 0, false, 32)),
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => return None,
        })
    }

    /// Bytes of the words of 32 weights of every row.
    pub const fn group_bytes(&self) -> usize {
        (self.low_bits + self.high_bits) * GROUP / 8 * TILE
    }

    /// Where the halves of a record begin.
    pub const fn halves_at(&self) -> usize {
        self.group_bytes() * (self.block / GROUP)
    }

    /// Where the sub-scales of a record begin.
    pub const fn sub_scales_at(&self) -> usize {
        self.halves_at() + (1 + self.has_min as usize) * TILE * 2
    }

    /// Bytes of a record.
    pub const fn record_bytes(&self) -> usize {
        let planes = match (self.sub_scales, self.has_min) {
            (SubScales::None, _) => 0,
            (SubScales::Bytes, true) => 2,
            (SubScales::Bytes, false) | (SubScales::Nibbles, _) => 1,
        };
        self.sub_scales_at() + planes * self.n_subs() * TILE
    }

    /// Sub-blocks of a block.
    pub const fn n_subs(&self) -> usize {
        self.block / self.sub
    }
}
