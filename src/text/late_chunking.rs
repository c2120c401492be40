//! Late chunking: a document is read once, and each of its chunks becomes the mean of its own
//! tokens, which have seen everything before them.
//!
//! 1. The document is the prefix and then the chunks, joined by nothing.
//! 2. A token belongs to the chunk in which its first character lies. The tokens of the prefix
//!    belong to none; the token that joins the prefix's last blank to the first word belongs to the
//!    first chunk.
//! 3. Truncation clips the chunk that it cuts, and a chunk of which nothing is left is an error.
//!
//! Source: jina-ai/late-chunking, with the prefix left out of the first chunk.

use std::ops::Range;

use super::{Error, TaskPrompt, Tokens, prompt};

/// A text made of a prefix and chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: String,
    /// Byte ranges of the chunks in `text`, one after the other, without gaps.
    chunks: Vec<Range<usize>>,
}

impl Document {
    /// Joins chunks behind the prefix of a task.
    ///
    /// Fails when there is no chunk.
    pub fn new<S: AsRef<str>>(task_prompt: TaskPrompt, chunks: &[S]) -> Result<Document, Error> {
        if chunks.is_empty() {
            return Err(Error::NoChunks);
        }
        let mut text = prompt::prefix(task_prompt);
        let mut ranges = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let start = text.len();
            text.push_str(chunk.as_ref());
            ranges.push(start..text.len());
        }
        Ok(Document {
            text,
            chunks: ranges,
        })
    }

    /// The whole text, to be tokenised.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which tokens belong to each chunk, as half-open ranges of token positions.
    ///
    /// - `tokens`: the tokens of [`Document::text`], all of them
    /// - `max_length`: how many of them the model will read
    ///
    /// Fails, naming the chunk, when no token begins in one or when all of it lies past `max_length`.
    pub fn token_spans(
        &self,
        tokens: &Tokens,
        max_length: usize,
    ) -> Result<Vec<Range<usize>>, Error> {
        let n_chunks = self.chunks.len();
        let document_start = self.chunks[0].start;
        let mut spans = Vec::with_capacity(n_chunks);
        // Offsets never go back, so one walk over the tokens serves all chunks.
        let mut at = tokens
            .offsets
            .iter()
            .take_while(|(_, end)| *end <= document_start)
            .count();
        for (chunk, range) in self.chunks.iter().enumerate() {
            let token_start = at;
            at += tokens.offsets[at..]
                .iter()
                .take_while(|(start, _)| (*start).max(document_start) < range.end)
                .count();
            if at == token_start {
                return Err(Error::EmptyChunk {
                    chunk,
                    n_chunks,
                    n_bytes: range.len(),
                });
            }
            if token_start >= max_length {
                return Err(Error::ChunkPastEnd {
                    chunk,
                    n_chunks,
                    token_start,
                    max_length,
                });
            }
            spans.push(token_start..at.min(max_length));
        }
        Ok(spans)
    }
}
