//! The shader text that decodes a matrix.

use crate::gguf::TensorType;

use super::layout::{blocks, padded_rows, row_words};

/// A matrix as a shader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decoder {
    /// Ends the names of its functions.
    pub suffix: String,
    /// Name of the binding that holds it.
    pub buffer: String,
    pub form: Form,
    pub rows: usize,
    pub k: usize,
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

impl Decoder {
    /// Declares `row`, `Block`, `load` and `octet`, each with the suffix:
    ///
    /// ```wgsl
    /// fn row(n: u32) -> Row
    /// fn load(row: Row, kb: u32) -> Block       // 32 values
    /// fn octet(block: Block, o: u32) -> Octet   // eight of them, o in 0..4
    /// ```
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut constants = vec![
            ("s", self.suffix.clone()),
            ("w", self.buffer.clone()),
            ("rows", self.rows.to_string()),
            ("k", self.k.to_string()),
        ];
        match self.form {
            Form::Dense => text += include_str!("formats/dense.wgsl"),
            Form::Panels {
                tensor_type,
                first,
            } => {
                text += include_str!("formats/part.wgsl");
                text += format(tensor_type);
                let panel_vectors = row_words(tensor_type, self.k) * 16;
                constants.extend([
                    ("blocks", blocks(self.k).to_string()),
                    ("first", first.to_string()),
                    ("panel_vectors", panel_vectors.to_string()),
                    ("padded_rows", padded_rows(self.rows).to_string()),
                ]);
            }
        }
        for (name, value) in constants {
            text = text.replace(&format!("{{{{ {name} }}}}"), &value);
        }
        text
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
