//! From bytes in file order to a model on the device.
//!
//! ```text
//! push(chunk) ──► stream: header, then pieces of tensors ──► dequantise ──► upload   (a few MiB at a time)
//! finish()    ──► tables: GGUF names ──► model::Decoder, VisionTower, Projector, adapters
//! ```
//!
//! No file and no tensor is ever whole in the host's memory on a GPU device. The names and shapes
//! that a model needs are stated once, in the functions that build it; running them dry gives the
//! list that a file is checked against before its tensors are read.

mod adapters;
mod error;
mod loader;
mod metadata;
mod stream;
mod tables;
mod tensors;
mod upload;

pub use error::Error;
pub use loader::{Loaded, Loader, Role};
