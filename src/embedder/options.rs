//! What a caller may ask of an embedding.

use crate::text::TaskPrompt;

/// How to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    pub task: TaskPrompt,
    /// Length of single vectors, one of the model's Matryoshka lengths; the whole if none.
    pub dimensions: Option<usize>,
    /// One vector per token instead of one per input.
    pub multivector: bool,
    /// Embed the inputs, all text, as chunks of one document that see what came before them.
    pub late_chunking: bool,
    /// Most pixels a picture is resized to, instead of the model's own limit.
    pub max_pixels: Option<usize>,
    /// Most tokens of a text, prefix included; the rest is cut off.
    pub max_length: Option<usize>,
}

impl EncodeOptions {
    /// Whole single vectors for a task.
    pub fn new(task: TaskPrompt) -> Self {
        Self {
            task,
            dimensions: None,
            multivector: false,
            late_chunking: false,
            max_pixels: None,
            max_length: None,
        }
    }
}
