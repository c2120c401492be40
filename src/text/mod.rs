//! Text: from a string and a task to token ids.
//!
//! ```text
//! task, text ──► prompt::full_text ──► Tokenizer::encode ──► Tokens::truncate ──► ids
//! ```
//!
//! # Special tokens in a user's text
//!
//! The strings of added tokens, `<|im_start|>` or `<|vision_start|>` say, are recognised wherever
//! they stand, as in the reference, and become one token each. They have no power: which positions
//! are pooled follows from the kind of input (a text or a picture) and never from its ids. The
//! reference looks at the ids, so a text that holds `<|vision_start|>` is pooled over that span only
//! there; here it is pooled like every other text.

mod bpe;
mod error;
mod from_gguf;
pub mod late_chunking;
pub mod prompt;
mod task;
mod tokenizer;

pub use error::Error;
pub use task::{Prompt, Task, TaskPrompt};
pub use tokenizer::{SpecialIds, Tokenizer, Tokens};
