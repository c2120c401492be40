//! The GGUF container, read from untrusted bytes and written back, and the block formats inside it.
//!
//! ```text
//! "GGUF" · version · n_tensors · n_keys · keys and values · tensor table · padding · tensor data
//! ```
//!
//! [`Header::parse`] takes whatever prefix of the file has arrived, so that a download is checked
//! before its first tensor is in. Nothing is believed: every count is weighed against the bytes
//! that would have to hold it before memory is taken for it, and every tensor must lie in the
//! file, aligned and alone. [`dequantize`] turns blocks into `f32`, bit for bit as ggml does;
//! [`quantize`] makes them, blocks of 32 to ggml's bytes and super-blocks with less loss. This
//! module knows no model: names and shapes are its callers' business.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian.

mod cursor;
mod dequantize;
mod error;
mod finite;
mod header;
mod metadata;
mod quantize;
pub mod split;
mod tensor;
mod value;
mod writer;

pub use dequantize::dequantize;
pub use error::Error;
pub use finite::first_not_finite;
pub use header::{Header, MAX_HEADER_BYTES, Parsed};
pub use metadata::Metadata;
pub use quantize::{quantize, quantize_rows};
pub use tensor::{TensorInfo, TensorType};
pub use value::{Array, Strings, Value};
pub use writer::{TensorSpec, TensorStream, Writer};

/// The alignment of tensor data where a file names none.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// The key by which a file overrides [`DEFAULT_ALIGNMENT`].
pub const ALIGNMENT_KEY: &str = "general.alignment";
