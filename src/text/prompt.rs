//! What is put around an input before the model reads it.
//!
//! A text gets the prefix of its side, `Query: ` or `Passage: `. A picture gets a fixed frame,
//! `<|im_start|>user\n<|vision_start|>` pads `<|vision_end|>Describe the image.<|im_end|>\n`, with one
//! pad per image token, and no prefix; for both, the task selects the adapter.
//!
//! Reference: `process_texts` and `process_images` of Jina's modelling code.

use std::ops::Range;

use super::{Error, TaskPrompt, Tokenizer};

/// The most tokens the reference reads of a text unless told otherwise, prefix included.
pub const MAX_LENGTH: usize = 32_768;

const BEFORE_IMAGE: &str = "<|im_start|>user\n<|vision_start|>";
const IMAGE_PAD: &str = "<|image_pad|>";
const AFTER_IMAGE: &str = "<|vision_end|>Describe the image.<|im_end|>\n";

/// What stands in front of a text, such as `"Query: "`.
pub fn prefix(task_prompt: TaskPrompt) -> String {
    format!("{}: ", task_prompt.prompt().as_str())
}

/// The text as the model reads it: prefix and text.
pub fn full_text(task_prompt: TaskPrompt, text: &str) -> String {
    prefix(task_prompt) + text
}

/// The tokens around and in place of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePrompt {
    /// All ids; those of `image_tokens` are placeholders for the vision tower's output.
    pub ids: Vec<u32>,
    /// Where the picture's tokens are.
    pub image_tokens: Range<usize>,
    /// Which positions a single vector is the mean of: from vision_start to vision_end, both included.
    pub pooled: Range<usize>,
}

/// The prompt for a picture of `n_image_tokens` tokens as text.
pub fn image_text(n_image_tokens: usize) -> String {
    let pads = IMAGE_PAD.repeat(n_image_tokens);
    format!("{BEFORE_IMAGE}{pads}{AFTER_IMAGE}")
}

/// The prompt for a picture of `n_image_tokens` tokens.
///
/// The strings around the placeholders are tokenised, since the number of their tokens depends on
/// the vocabulary. Fails when the vocabulary lacks a special token that they need.
pub fn image_prompt(tokenizer: &Tokenizer, n_image_tokens: usize) -> Result<ImagePrompt, Error> {
    let special = tokenizer.special_ids()?;
    let mut ids = tokenizer.encode(BEFORE_IMAGE)?.ids;
    let after = tokenizer.encode(AFTER_IMAGE)?.ids;
    for (id, needed, token) in [
        (ids.first(), special.im_start, "<|im_start|>"),
        (ids.last(), special.vision_start, "<|vision_start|>"),
        (after.first(), special.vision_end, "<|vision_end|>"),
    ] {
        if id != Some(&needed) {
            return Err(Error::MissingToken { token });
        }
    }
    let start = ids.len();
    let end = start + n_image_tokens;
    ids.resize(end, special.image_pad);
    ids.extend(after);
    Ok(ImagePrompt {
        ids,
        image_tokens: start..end,
        pooled: start - 1..end + 1,
    })
}
