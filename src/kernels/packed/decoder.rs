//! The shader text that decodes a matrix.

use crate::{
    gguf::TensorType,
    kernels::name::{Name, Suffix},
};

use super::layout::{blocks, row_words};

/// A matrix as a shader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoder {
    /// Ends the names of its functions and of its numbers.
    pub suffix: Suffix,
    /// Name of the binding that holds it.
    pub buffer: Name,
    /// `None` for numbers in f32, row by row.
    pub tensor_type: Option<TensorType>,
}

/// How it lies in its buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// In f32, row by row.
    Dense,
    /// In panels of planes, from a word that is four times `first`.
    Panels {
        tensor_type: TensorType,
        first: usize,
    },
}

/// What every decoder needs once.
pub const COMMON: &str = include_str!("formats/common.wgsl");

impl Form {
    /// The numbers that a decoder of this form reads, by their names without the suffix.
    ///
    /// - `rows`, `k`: of the matrix
    pub fn numbers(&self, rows: usize, k: usize) -> [(&'static str, usize); 5] {
        let (first, panel_vectors) = match self {
            Form::Dense => (0, 0),
            Form::Panels { tensor_type, first } => (*first, row_words(*tensor_type, k) * 16),
        };
        [
            ("rows", rows),
            ("width", k.div_ceil(4)),
            ("blocks", blocks(k)),
            ("first", first),
            ("panel_vectors", panel_vectors),
        ]
    }

    /// `None` for numbers in f32, row by row.
    pub fn tensor_type(&self) -> Option<TensorType> {
        match self {
            Form::Dense => None,
            Form::Panels { tensor_type, .. } => Some(*tensor_type),
        }
    }
}

impl Decoder {
    /// Declares `row`, `Block`, `load` and `octet`, each with the suffix:
    ///
    /// ```wgsl
    /// fn row(n: u32) -> Row
    /// fn load(row: Row, kb: u32) -> Block       // 32 values
    /// fn octet(block: Block, o: u32) -> Octet   // eight of them, o in 0..4
    /// ```
    pub fn text(&self) -> String {
        let text = match self.tensor_type {
            None => include_str!("formats/dense.wgsl").to_string(),
            Some(tensor_type) => {
                include_str!("formats/panels.wgsl").to_string() + format(tensor_type)
            }
        };
        text.replace("{{ s }}", &self.suffix.to_string())
            .replace("{{ w }}", &self.buffer.to_string())
    }
}

fn format(tensor_type: TensorType) -> &'static str {
    match tensor_type {
        TensorType::F32 => include_str!("formats/f32.wgsl"),
        TensorType::F16 => include_str!("formats/f16.wgsl"),
        TensorType::BF16 => include_str!("formats/bf16.wgsl"),
        TensorType::Q4_0 => include_str!("formats/q4_0.wgsl"),
        TensorType::Q4_1 => include_str!("formats/q4_1.wgsl"),
        TensorType::Q5_0 => include_str!("formats/q5_0.wgsl"),
        TensorType::Q5_1 => include_str!("formats/q5_1.wgsl"),
        TensorType::Q8_0 => include_str!("formats/q8_0.wgsl"),
        TensorType::Q2_K => include_str!("formats/q2_k.wgsl"),
        TensorType::Q3_K => include_str!("formats/q3_k.wgsl"),
        TensorType::Q4_K => include_str!("formats/q4_k.wgsl"),
        TensorType::Q5_K => include_str!("formats/q5_k.wgsl"),
        TensorType::Q6_K => include_str!("formats/q6_k.wgsl"),
        TensorType::IQ4_NL => include_str!("formats/iq4_nl.wgsl"),
        TensorType::IQ4_XS => include_str!("formats/iq4_xs.wgsl"),
    }
}
