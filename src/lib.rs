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
//!                                                                                 └─► search ──► edge
//! ```

#[cfg(feature = "cli")]
pub mod convert;
#[cfg(feature = "gpu")]
pub mod device;
#[cfg(all(feature = "edge", target_family = "wasm"))]
mod edge;
#[cfg(feature = "gpu")]
mod embedder;
pub mod error;
pub mod gguf;
pub mod image;
#[cfg(all(any(feature = "web", feature = "edge"), target_family = "wasm"))]
mod js;
#[cfg(feature = "gpu")]
pub mod kernels;
#[cfg(feature = "gpu")]
pub mod model;
#[cfg(all(feature = "gpu", feature = "cli"))]
pub mod model_files;
#[cfg(feature = "gpu")]
mod pooling;
pub mod search;
pub mod text;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod web;
#[cfg(feature = "gpu")]
pub mod weights;

#[cfg(feature = "gpu")]
pub use device::Device;
#[cfg(feature = "gpu")]
pub use embedder::{Embedder, Embedding, EncodeOptions, Input};
pub use error::{Code, Error, Result};
