//! jina-embeddings-v4 where the user is: text and images embedded into one space, on WebGPU or the
//! CPU, from GGUF weights.
//!
//! Data flows one way, and each module knows only those to its left:
//!
//! ```text
//! bytes ──► gguf ──► weights ──► device                    (once)
//! text  ──► text::prompt ──► text::tokenizer ──► ids ┐
//! image ──► image::decode ──► resize ──► patches ────┤
//!                                                    └─► model ──► pooling ──► vectors ──► web
//! ```

#[cfg(feature = "cli")]
pub mod convert;
pub mod error;
pub mod gguf;
pub mod image;
pub mod text;

pub use error::{Code, Error, Result};
