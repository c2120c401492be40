//! Vector search where the vectors are: an index over single vectors and multi-vectors, of texts and
//! pictures alike, and its file. It knows vectors, ids and fields; what they stand for is its
//! callers' business.
//!
//! ```text
//! Batch ──► checks ──► rows (vectors · codes · tokens · fields · ids) ──► Query ──► hits
//!                        │  ▲
//!                 commit ▼  │ Reader
//!                     bytes of a file
//! ```
//!
//! - Every call is all or nothing: a bad item of a batch leaves the index as it was.
//! - A vector of another length or space, one that is not finite, and one without a direction are
//!   refused, in items and in queries.
//! - Comparisons run on the widest SIMD that the machine has; see [`Kernels`].
//! - The file is an append-only log of checksummed commits; its format is described in `file`.
//!   Bytes are made and read here; writing them somewhere is the caller's.

mod batch;
mod column;
mod error;
mod fields;
mod file;
mod filter;
mod ids;
mod index;
mod journal;
mod json;
mod kernels;
mod query;
mod schema;
mod tokens;
mod top_k;
mod vectors;

pub use batch::{Batch, InSpace, MAX_ID_BYTES, Upserted};
pub use error::Error;
pub use fields::{Fields, Value};
pub use file::{FORMAT_VERSION, Opened, Reader};
pub use filter::{Bound, Filter};
pub use index::Index;
pub use journal::{Append, Written};
pub use json::{fields_from_json, fields_to_json};
pub use kernels::Kernels;
pub use query::{Hit, Query};
pub use schema::{
    FirstStage, MAX_DIMENSIONS, MAX_SPACE_BYTES, Metric, Schema, Space, TokenStorage, Vectors,
};
