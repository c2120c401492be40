//! The file of an index, version 1: a header and a log of commits.
//!
//! All numbers are little-endian; every part is a multiple of 8 bytes long, padded with zeros. A
//! checksum is XXH64 with seed 0 of everything before it in the same part.
//!
//! Header:
//!
//! ```text
//! 0   magic        8 bytes  89 4A 53 49 0D 0A 1A 0A ("JSI", and line ends that a text mode would change)
//! 8   version      u32      1
//! 12  n_bytes      u32      of the header
//! 16  generation   u64      compactions before this file
//! 24  n_snapshot   u64      commits that make the first state; without them the file is unfinished
//! 32  metric u8 · first stage u8 · token storage u8 · 0
//! 36  dimensions, multi dimensions, first-stage dimensions     u32 each, 0 for none
//! 48  length of space, length of multi space                   u32 each
//! 56  the two names, UTF-8, padding
//!     checksum     u64
//! ```
//!
//! Commit:
//!
//! ```text
//! 0   magic        8 bytes  "JSICOMIT"
//! 8   sequence     u64      1 for the first
//! 16  previous     u64      last checksum of the commit before, or the header's
//! 24  n_payload    u64      bytes of the payload
//! 32  n_names, n_removed, n_rows, n_updated                    u32 each
//! 48  checksum     u64      of the above
//! 56  payload
//!     checksum     u64      of the whole commit
//! ```
//!
//! Payload, read from front to back (`string` is a length u32 and UTF-8 bytes, `bytes` a length u32
//! and bytes):
//!
//! ```text
//! names            string each     names of fields, numbered on from the commit before
//! removed          string each     ids; one that is not there means nothing
//! rows             for each: id string · fields bytes (see `fields`)
//!                  for each, where items have single vectors: f32 x dimensions
//!                  for each, where items have multi-vectors: n_tokens u32 (0: none), then
//!                    float32: f32 x n_tokens x multi dimensions
//!                    int8:    f32 x n_tokens steps, i8 x n_tokens x multi dimensions
//! updated          for each: id string · fields bytes
//! padding
//! ```
//!
//! A commit is applied in this order: names, removals, rows, updates. A row whose id is there
//! replaces what it stands for only if the commit removes that first; otherwise the file is damaged.
//!
//! Opening applies commit after commit for as long as each is whole, follows the one before, and has
//! its checksums. What comes after the last good one was never committed, and is dropped: a writer
//! that was killed left it. Unless there is, anywhere in it, the sound header of a later commit:
//! then committed bytes were changed, and the file is damaged.

mod headers;
mod read;
mod write;

pub use read::{Opened, Reader};
pub use write::{CommitHeader, Contents, FileHeader, row_bytes};

#[cfg(target_endian = "big")]
compile_error!(
    "index files are little-endian, and vectors are copied to and from them as they are"
);

/// The version that is written and read.
pub const FORMAT_VERSION: u32 = 1;

const FILE_MAGIC: [u8; 8] = *b"\x89JSI\r\n\x1a\n";
const COMMIT_MAGIC: [u8; 8] = *b"JSICOMIT";
/// Up to the names.
const FILE_HEADER_FIXED_BYTES: usize = 56;
const COMMIT_HEADER_BYTES: usize = 56;
const CHECKSUM_BYTES: usize = 8;
/// Everything is a multiple of this.
const ALIGNMENT: usize = 8;

fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash64::oneshot(0, bytes)
}
