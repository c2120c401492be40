//! Writing: the header, and commits of what an index holds.

use super::super::index::Index;
use super::super::schema::{FirstStage, Metric, Schema, TokenStorage};
use super::{
    ALIGNMENT, CHECKSUM_BYTES, COMMIT_HEADER_BYTES, COMMIT_MAGIC, FILE_HEADER_FIXED_BYTES,
    FILE_MAGIC, FORMAT_VERSION, checksum,
};

/// The start of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    pub generation: u64,
    pub snapshot_commits: u64,
    pub schema: Schema,
}

/// The start of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitHeader {
    pub sequence: u64,
    pub previous: u64,
    pub n_payload: u64,
    pub n_names: u32,
    pub n_removed: u32,
    pub n_rows: u32,
    pub n_updated: u32,
}

/// What a commit adds to a file.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    pub names: &'a [String],
    pub removed: &'a [Box<str>],
    pub rows: &'a [u32],
    pub updated: &'a [u32],
}

/// Bytes that a row takes in a file.
pub fn row_bytes(index: &Index, row: u32) -> usize {
    let row = row as usize;
    let vector = index
        .schema
        .single()
        .map_or(0, |space| space.dimensions * 4);
    let tokens = index.tokens.get(row).map_or(0, |tokens| {
        4 + tokens.as_ref().map_or(0, |tokens| {
            let (steps, values) = tokens.parts();
            steps.len() * 4 + values.len()
        })
    });
    4 + index.ids[row].len() + 4 + index.fields[row].len() + vector + tokens
}

impl FileHeader {
    /// Appends the header; returns its checksum.
    pub fn write(&self, to: &mut Vec<u8>) -> u64 {
        let start = to.len();
        let schema = &self.schema;
        let names =
            [schema.single(), schema.multi()].map(|space| space.map_or("", |space| &space.name));
        let n_named = FILE_HEADER_FIXED_BYTES + names[0].len() + names[1].len();
        let n_bytes = n_named.next_multiple_of(ALIGNMENT) + CHECKSUM_BYTES;
        to.extend(FILE_MAGIC);
        to.extend(FORMAT_VERSION.to_le_bytes());
        to.extend((n_bytes as u32).to_le_bytes());
        to.extend(self.generation.to_le_bytes());
        to.extend(self.snapshot_commits.to_le_bytes());
        let (stage, stage_dimensions) = match schema.first_stage {
            FirstStage::None => (0, 0),
            FirstStage::Float32 { dimensions } => (1, dimensions),
            FirstStage::Int8 { dimensions } => (2, dimensions),
            FirstStage::Binary { dimensions } => (3, dimensions),
        };
        let metric = match schema.metric {
            Metric::Cosine => 0,
            Metric::Dot => 1,
        };
        let storage = match schema.token_storage {
            TokenStorage::Float32 => 0,
            TokenStorage::Int8 => 1,
        };
        to.extend([metric, stage, storage, 0]);
        let dimensions = [schema.single(), schema.multi()]
            .map(|space| space.map_or(0, |space| space.dimensions));
        for number in [
            dimensions[0],
            dimensions[1],
            stage_dimensions,
            names[0].len(),
            names[1].len(),
        ] {
            to.extend((number as u32).to_le_bytes());
        }
        to.extend(names[0].as_bytes());
        to.extend(names[1].as_bytes());
        seal(to, start)
    }
}

impl CommitHeader {
    /// Appends the header.
    fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend(COMMIT_MAGIC);
        for number in [self.sequence, self.previous, self.n_payload] {
            to.extend(number.to_le_bytes());
        }
        for number in [self.n_names, self.n_removed, self.n_rows, self.n_updated] {
            to.extend(number.to_le_bytes());
        }
        seal(to, start);
        debug_assert_eq!(to.len() - start, COMMIT_HEADER_BYTES);
    }
}

impl Contents<'_> {
    /// The counts; the rest is the caller's.
    pub fn header(&self) -> CommitHeader {
        CommitHeader {
            n_names: self.names.len() as u32,
            n_removed: self.removed.len() as u32,
            n_rows: self.rows.len() as u32,
            n_updated: self.updated.len() as u32,
            ..CommitHeader::default()
        }
    }

    /// Appends a commit; returns its checksum.
    pub fn write(&self, index: &Index, mut header: CommitHeader, to: &mut Vec<u8>) -> u64 {
        let start = to.len();
        let rows: usize = self.rows.iter().map(|row| row_bytes(index, *row)).sum();
        to.reserve(rows + COMMIT_HEADER_BYTES + CHECKSUM_BYTES);
        // In its place once the payload's length is known.
        to.resize(start + COMMIT_HEADER_BYTES, 0);
        for name in self.names {
            push_bytes(to, name.as_bytes());
        }
        for id in self.removed {
            push_bytes(to, id.as_bytes());
        }
        for row in self.rows {
            push_bytes(to, index.ids[*row as usize].as_bytes());
            push_bytes(to, &index.fields[*row as usize]);
        }
        if index.schema.single().is_some() {
            for row in self.rows {
                to.extend_from_slice(bytemuck::cast_slice(index.vectors.row(*row as usize)));
            }
        }
        if index.schema.multi().is_some() {
            for row in self.rows {
                let tokens = index.tokens[*row as usize].as_ref();
                to.extend((tokens.map_or(0, |tokens| tokens.len()) as u32).to_le_bytes());
                if let Some(tokens) = tokens {
                    let (steps, values) = tokens.parts();
                    to.extend_from_slice(bytemuck::cast_slice(steps));
                    to.extend_from_slice(values);
                }
            }
        }
        for row in self.updated {
            push_bytes(to, index.ids[*row as usize].as_bytes());
            push_bytes(to, &index.fields[*row as usize]);
        }
        pad(to);
        header.n_payload = (to.len() - start - COMMIT_HEADER_BYTES) as u64;
        let mut written = Vec::with_capacity(COMMIT_HEADER_BYTES);
        header.write(&mut written);
        to[start..start + COMMIT_HEADER_BYTES].copy_from_slice(&written);
        seal(to, start)
    }
}

fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

fn pad(to: &mut Vec<u8>) {
    // Parts begin at multiples, so the whole tells how much is missing.
    to.resize(to.len().next_multiple_of(ALIGNMENT), 0);
}

/// Pads what began at `start`, appends its checksum, and returns it.
fn seal(to: &mut Vec<u8>, start: usize) -> u64 {
    pad(to);
    let checksum = checksum(&to[start..]);
    to.extend(checksum.to_le_bytes());
    checksum
}
