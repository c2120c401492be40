//! Reading the fixed parts: the header of the file and those of its commits.

use super::super::Error;
use super::super::schema::{
    FirstStage, MAX_SPACE_BYTES, Metric, Schema, Space, TokenStorage, Vectors,
};
use super::write::{CommitHeader, FileHeader};
use super::{
    ALIGNMENT, CHECKSUM_BYTES, COMMIT_HEADER_BYTES, COMMIT_MAGIC, FILE_HEADER_FIXED_BYTES,
    FILE_MAGIC, FORMAT_VERSION, checksum,
};

/// `None` while the header is not all there. With its checksum and its length.
pub fn read_file_header(bytes: &[u8]) -> Result<Option<(FileHeader, u64, usize)>, Error> {
    let bad = |reason: &str| Error::NotAnIndex {
        reason: reason.to_owned(),
    };
    let n_magic = bytes.len().min(FILE_MAGIC.len());
    if bytes[..n_magic] != FILE_MAGIC[..n_magic] {
        return Err(bad("it does not begin as one"));
    }
    let mut cursor = Cursor(bytes.get(FILE_MAGIC.len()..).unwrap_or_default());
    let (Some(version), Some(n_bytes)) = (cursor.u32(), cursor.u32()) else {
        return Ok(None);
    };
    if version != FORMAT_VERSION {
        return Err(Error::Version {
            needed: FORMAT_VERSION,
            found: version,
        });
    }
    let n_bytes = n_bytes as usize;
    let shortest = FILE_HEADER_FIXED_BYTES + CHECKSUM_BYTES;
    if !(shortest..=shortest + 2 * MAX_SPACE_BYTES + ALIGNMENT).contains(&n_bytes)
        || !n_bytes.is_multiple_of(ALIGNMENT)
    {
        return Err(bad("its header has a length that cannot be"));
    }
    let Some(header) = bytes.get(..n_bytes) else {
        return Ok(None);
    };
    let (sealed, found) = header.split_at(n_bytes - CHECKSUM_BYTES);
    let sum = checksum(sealed);
    if found != sum.to_le_bytes() {
        return Err(bad("the checksum of its header is wrong"));
    }
    let mut cursor = Cursor(&sealed[FILE_MAGIC.len() + 8..]);
    let header = (|| {
        let (generation, snapshot_commits) = (cursor.u64()?, cursor.u64()?);
        let &[metric, stage, storage, 0] = cursor.0.split_off(..4)? else {
            return None;
        };
        let mut numbers = [0; 5];
        for number in &mut numbers {
            *number = cursor.u32()? as usize;
        }
        let [single, multi, stage_dimensions, n_single, n_multi] = numbers;
        let mut space = |dimensions, n_name| {
            let name = std::str::from_utf8(cursor.0.split_off(..n_name)?)
                .ok()?
                .to_owned();
            Some(Space { name, dimensions })
        };
        let (single, multi) = (space(single, n_single)?, space(multi, n_multi)?);
        let vectors = match (single.dimensions > 0, multi.dimensions > 0) {
            (true, true) => Vectors::Both { single, multi },
            (true, false) => Vectors::Single(single),
            (false, _) => Vectors::Multi(multi),
        };
        let dimensions = stage_dimensions;
        let first_stage = match stage {
            0 => FirstStage::None,
            1 => FirstStage::Float32 { dimensions },
            2 => FirstStage::Int8 { dimensions },
            3 => FirstStage::Binary { dimensions },
            _ => return None,
        };
        let metric = [Metric::Cosine, Metric::Dot]
            .get(usize::from(metric))
            .copied()?;
        let storage = [TokenStorage::Float32, TokenStorage::Int8]
            .get(usize::from(storage))
            .copied()?;
        let schema = Schema {
            vectors,
            metric,
            first_stage,
            token_storage: storage,
        };
        Some(FileHeader {
            generation,
            snapshot_commits,
            schema,
        })
    })();
    let header = header.ok_or_else(|| bad("its header cannot be read"))?;
    Ok(Some((header, sum, n_bytes)))
}

pub fn read_commit_header(bytes: &[u8]) -> Result<CommitHeader, &'static str> {
    let mut cursor = Cursor(bytes);
    let magic = cursor.0.split_off(..COMMIT_MAGIC.len());
    if magic != Some(&COMMIT_MAGIC) {
        return Err("no commit begins here");
    }
    let mut read = || {
        let (sequence, previous, n_payload) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let (n_names, n_removed) = (cursor.u32()?, cursor.u32()?);
        let (n_rows, n_updated) = (cursor.u32()?, cursor.u32()?);
        let found = cursor.u64()?;
        let header = CommitHeader {
            sequence,
            previous,
            n_payload,
            n_names,
            n_removed,
            n_rows,
            n_updated,
        };
        (found == checksum(&bytes[..COMMIT_HEADER_BYTES - CHECKSUM_BYTES])).then_some(header)
    };
    read().ok_or("the checksum of a commit's header is wrong")
}

/// Reads from the front.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn u32(&mut self) -> Option<u32> {
        self.0
            .split_off(..4)?
            .try_into()
            .ok()
            .map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.0
            .split_off(..8)?
            .try_into()
            .ok()
            .map(u64::from_le_bytes)
    }
}
