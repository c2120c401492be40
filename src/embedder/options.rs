//! What a caller may ask of an embedding.

use crate::{Error, Result, model::Pass, text::TaskPrompt};

use super::Embedder;

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

impl Embedder {
    /// Fails unless the model can do what the options ask; returns how to compute.
    pub(super) fn check_options(&self, options: &EncodeOptions) -> Result<Pass> {
        let task = options.task.task();
        if !self.tasks.contains(&task) {
            let found: Vec<&str> = self.tasks.iter().map(|task| task.as_str()).collect();
            return Err(Error::TaskUnavailable {
                needed: task.as_str().into(),
                found: match found.is_empty() {
                    true => "no adapter".into(),
                    false => found.join(", "),
                },
            });
        }
        if let Some(dimensions) = options.dimensions {
            let allowed = &self.decoder.config.matryoshka_dims;
            if options.multivector {
                return Err(Error::Option {
                    option: "dimensions",
                    needed: "to be absent for multi-vectors, which are never cut".into(),
                    found: dimensions.to_string(),
                });
            }
            if !allowed.contains(&dimensions) {
                return Err(Error::Option {
                    option: "dimensions",
                    needed: format!("one of {allowed:?}"),
                    found: dimensions.to_string(),
                });
            }
        }
        if options.multivector && self.projector.is_none() {
            return Err(Error::TaskUnavailable {
                needed: "multi-vector projector".into(),
                found: "none in the loaded files".into(),
            });
        }
        if options.multivector && options.late_chunking {
            return Err(Error::Option {
                option: "lateChunking",
                needed: "to be off for multi-vectors, which hold every token already".into(),
                found: "on".into(),
            });
        }
        if let Some(max_length) = options.max_length
            && !(1..=self.decoder.config.max_length).contains(&max_length)
        {
            return Err(Error::Option {
                option: "maxLength",
                needed: format!("1 to {} tokens", self.decoder.config.max_length),
                found: max_length.to_string(),
            });
        }
        // Layers without an adapter by this name, all of a merged file, are computed as they are.
        Ok(Pass {
            adapter: Some(task),
            kernels: self.kernels,
        })
    }
}
