//! The tokeniser; see `edge-face.ts`.

use js_sys::Uint32Array;
use wasm_bindgen::prelude::*;

use crate::gguf::{Header, Parsed};
use crate::js::{misuse, object};
use crate::text::{self, TaskPrompt, Tokens, prompt};

use super::thrown;

/// A model's tokeniser.
#[wasm_bindgen]
pub struct Tokenizer(text::Tokenizer);

#[wasm_bindgen]
impl Tokenizer {
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer, JsValue> {
        text::Tokenizer::from_tokenizer_json(bytes)
            .map(Tokenizer)
            .map_err(thrown)
    }

    pub fn from_gguf(prefix: &[u8]) -> Result<Tokenizer, JsValue> {
        match Header::parse(prefix, None).map_err(thrown)? {
            Parsed::Complete(header) => text::Tokenizer::from_gguf(&header.metadata)
                .map(Tokenizer)
                .map_err(thrown),
            Parsed::NeedMore { at_least_bytes } => Err(misuse(format_args!(
                "the header of the GGUF file needs at least {at_least_bytes} bytes, found {}",
                prefix.len()
            ))),
        }
    }

    pub fn gguf_bytes_needed(prefix: &[u8]) -> Result<f64, JsValue> {
        match Header::parse(prefix, None).map_err(thrown)? {
            Parsed::Complete(_) => Ok(0.0),
            Parsed::NeedMore { at_least_bytes } => Ok(at_least_bytes as f64),
        }
    }

    pub fn count(&self, text: &str, task: Option<String>) -> Result<usize, JsValue> {
        Ok(self.tokens(text, task)?.0.len())
    }

    pub fn encode(&self, text: &str, task: Option<String>) -> Result<JsValue, JsValue> {
        let (tokens, prefix_bytes) = self.tokens(text, task)?;
        // Offsets only grow, so one walk over the text turns bytes into UTF-16 units.
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let mut units = Units {
            text,
            byte: 0,
            unit: 0,
        };
        for (start, end) in tokens.offsets {
            let start = units.at(start.saturating_sub(prefix_bytes));
            let mut ahead = Units { ..units };
            starts.push(start);
            ends.push(ahead.at(end.saturating_sub(prefix_bytes)));
        }
        Ok(object(&[
            ("ids", Uint32Array::from(&tokens.ids[..]).into()),
            ("starts", Uint32Array::from(&starts[..]).into()),
            ("ends", Uint32Array::from(&ends[..]).into()),
        ]))
    }

    pub fn image_tokens(&self, n_image_tokens: usize) -> Result<usize, JsValue> {
        let around = prompt::image_prompt(&self.0, 0).map_err(thrown)?.ids.len();
        Ok(around.saturating_add(n_image_tokens))
    }

    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    /// The tokens, and how many bytes of what was tokenised are the task's prefix.
    fn tokens(&self, text: &str, task: Option<String>) -> Result<(Tokens, usize), JsValue> {
        let Some(task) = task else {
            return Ok((self.0.encode(text).map_err(thrown)?, 0));
        };
        let task: TaskPrompt = task.parse().map_err(|error: text::Error| thrown(error))?;
        let tokens = self
            .0
            .encode(&prompt::full_text(task, text))
            .map_err(thrown)?;
        Ok((tokens, prompt::prefix(task).len()))
    }
}

/// Walks over a text, counting bytes and UTF-16 units.
struct Units<'a> {
    text: &'a str,
    byte: usize,
    unit: u32,
}

impl Units<'_> {
    /// The unit at a byte that is not before the last one asked for.
    fn at(&mut self, byte: usize) -> u32 {
        for character in self.text[self.byte..].chars() {
            if self.byte >= byte {
                break;
            }
            self.byte += character.len_utf8();
            self.unit += character.len_utf16() as u32;
        }
        self.unit
    }
}
