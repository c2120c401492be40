//! How a quantised matrix lies on the device.
//!
//! Rows are cut into panels of 64. A panel is a run of planes, one for the codes, one for their
//! high bits, one for the scales; in a plane the same word of neighbouring rows is adjacent, so
//! that the invocations of a workgroup, each with a row of its own, read a run of memory. Planes
//! whose units are a multiple of four words keep four words of a row together, which is one load.
//!
//! Nothing is rounded: codes, scales and minima keep the bits of their file. A plane counts its
//! units of 32, 64 or 256 elements along a row; rows are padded with zeros to whole units of 32,
//! halves to pairs, and a matrix to a multiple of four rows.

use crate::gguf::TensorType;

/// Rows of a whole panel.
pub const PANEL_ROWS: usize = 64;
/// Elements that a kernel decodes together; every format's block is a multiple or a part of it.
pub const BLOCK: usize = 32;

/// A plane: so many words for so many elements of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    pub words: usize,
    pub elements: usize,
}

const fn plane(words: usize, elements: usize) -> Plane {
    Plane { words, elements }
}

/// The planes of a format, in the order in which a panel holds them.
pub fn planes(tensor_type: TensorType) -> &'static [Plane] {
    match tensor_type {
        TensorType::F32 => const { &[plane(32, 32)] },
        TensorType::F16 | TensorType::BF16 => const { &[plane(16, 32)] },
        // Codes; two scales a word.
        TensorType::Q4_0 | TensorType::IQ4_NL => const { &[plane(4, 32), plane(1, 64)] },
        TensorType::Q8_0 => const { &[plane(8, 32), plane(1, 64)] },
        // Codes; scale and minimum.
        TensorType::Q4_1 => const { &[plane(4, 32), plane(1, 32)] },
        // Codes; fifth bits; scales, or scale and minimum.
        TensorType::Q5_0 => const { &[plane(4, 32), plane(1, 32), plane(1, 64)] },
        TensorType::Q5_1 => const { &[plane(4, 32), plane(1, 32), plane(1, 32)] },
        // Codes; (fifth bits;) scale, minimum, and the six-bit factors of eight blocks.
        TensorType::Q4_K => const { &[plane(4, 32), plane(4, 256)] },
        TensorType::Q5_K => const { &[plane(4, 32), plane(1, 32), plane(4, 256)] },
        // Codes; two high bits; sixteen factors; scale.
        TensorType::Q6_K => const { &[plane(4, 32), plane(2, 32), plane(4, 256), plane(1, 256)] },
        // Codes; scale, high bits of the factors, low bits of the factors.
        TensorType::IQ4_XS => const { &[plane(4, 32), plane(2, 256)] },
        // Two-bit codes; sixteen factors; scale and minimum.
        TensorType::Q2_K => const { &[plane(2, 32), plane(4, 256), plane(1, 256)] },
        // Two-bit codes; third bits; twelve bytes of factors; scale.
        TensorType::Q3_K => const { &[plane(2, 32), plane(1, 32), plane(3, 256), plane(1, 256)] },
    }
}

/// Blocks of 32 in a row of K elements.
pub fn blocks(k: usize) -> usize {
    k.div_ceil(BLOCK)
}

/// Words of a row in each plane.
pub fn words_per_plane(tensor_type: TensorType, k: usize) -> impl Iterator<Item = usize> {
    let padded = blocks(k) * BLOCK;
    planes(tensor_type)
        .iter()
        .map(move |plane| padded.div_ceil(plane.elements) * plane.words)
}

/// Words of a row.
pub fn row_words(tensor_type: TensorType, k: usize) -> usize {
    words_per_plane(tensor_type, k).sum()
}

/// Rows that a matrix of `n` rows takes: loads are of four words of neighbouring rows.
pub fn padded_rows(n: usize) -> usize {
    n.next_multiple_of(4)
}
