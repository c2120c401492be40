//! jina-embeddings-v4 where the user is: text and images embedded into one space, on WebGPU or the
//! CPU, from GGUF weights.
//!
//! A model is found on disk ([`model_files`]), loaded onto a [`Device`], and then embeds texts and
//! pictures. Each input has a result of its own: a bad one leaves the others unharmed.
//!
#![cfg_attr(all(feature = "gpu", feature = "cli"), doc = "```")]
#![cfg_attr(not(all(feature = "gpu", feature = "cli")), doc = "```ignore")]
//! use jina_embeddings_web::{Device, EncodeOptions, Input, model_files::ModelFiles};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
//! // `path` names a model directory that `jina-embed convert` wrote, or a GGUF file.
//! let embedder = ModelFiles::find(path.as_ref())?.load(&Device::cpu(), |_progress| ())?;
//! let options = EncodeOptions::new("retrieval.query".parse()?);
//! let inputs = [Input::Text("a sleeping cat".into())];
//! // The future is any executor's; `pollster` waits for it in this thread.
//! let results = pollster::block_on(embedder.encode(&inputs, &options, &mut (), |_done, _total| ()))?;
//! for result in results {
//!     let embedding = result?;
//!     assert_eq!(embedding.values.len(), embedding.dimensions);
//! }
//! # Ok::<(), jina_embeddings_web::Error>(())
//! ```
//!
//! `examples/encode.rs` ranks texts and pictures for a query with it.
//!
//! # Features
//!
//! | feature | gives |
//! | --- | --- |
//! | `gpu` (default) | the model: [Burn](https://burn.dev) on WebGPU, Vulkan, Metal and DX12, and on the CPU |
//! | `cli` (default) | the command `jina-embed`, [`convert`], [`server`], and models on disk |
//! | `web` | the seam to JavaScript, on `wasm32` |
//!
//! Without any, [`gguf`], [`text`] and [`image`] are left: weight files, tokeniser, preprocessing.
//!
//! # Flow of data
//!
//! It goes one way, and each module knows only those to its left:
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
pub mod cpu;
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
pub mod kernel_choice;
#[cfg(feature = "gpu")]
pub mod kernels;
#[cfg(feature = "gpu")]
pub mod model;
#[cfg(all(feature = "gpu", feature = "cli"))]
pub mod model_files;
#[cfg(any(feature = "gpu", feature = "cli"))]
mod pooling;
pub mod search;
pub mod self_test;
#[cfg(feature = "cli")]
pub mod server;
pub mod text;
#[cfg(all(feature = "gpu", feature = "cli"))]
pub mod verify;
#[cfg(all(feature = "web", target_family = "wasm"))]
mod web;
#[cfg(feature = "gpu")]
pub mod weights;

#[cfg(feature = "gpu")]
pub use device::Device;
#[cfg(feature = "gpu")]
pub use embedder::{Embedder, Embedding, EncodeOptions, Input, Scratch};
pub use error::{Code, Error, Result};
