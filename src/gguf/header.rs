//! The header: counts, metadata, tensor table.
//!
//! 1. Read fields in file order from the prefix at hand. A field that is not there yet ends the
//!    attempt with the number of bytes that are needed at least; a field that can never be there
//!    is an error.
//! 2. Place the tensors: offsets become absolute, sizes follow from shape and type.
//! 3. Check that they are aligned, inside the file, and apart from one another.

use std::collections::HashSet;
use std::io::Read;

use super::cursor::{Cursor, Stop};
use super::error::Error;
use super::metadata::Metadata;
use super::tensor::{TensorInfo, TensorType};
use super::value::Value;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};

/// The longest header that is accepted. The full Qwen2.5 vocabulary with its merges makes about 8 MB.
pub const MAX_HEADER_BYTES: u64 = 64 << 20;

/// How much of a file is read before the first attempt to parse it.
const FIRST_READ_BYTES: u64 = 64 << 10;

/// The longest key or tensor name that is accepted; the format's own limit for keys.
const MAX_NAME_BYTES: u64 = 65_535;

/// The smallest key with its value: length, one character, type, one byte.
const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;

/// The smallest entry of the tensor table: name, dimension count, one dimension, type, offset.
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// The checked header of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// Keys and values.
    pub metadata: Metadata,
    /// The tensors, sorted by offset: the order in which a download brings them.
    pub tensors: Vec<TensorInfo>,
    /// Tensor data begins at multiples of this many bytes after `data_offset`.
    pub alignment: u64,
    /// Where tensor data begins, counted from the start of the file.
    pub data_offset: u64,
    /// Where the last tensor ends (the header, if there is none). The file may go on with padding.
    pub n_bytes: u64,
}

/// What [`Header::parse`] made of a prefix.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// The header is complete and sound.
    Complete(Header),
    /// All is sound so far, but the header goes on.
    NeedMore {
        /// A lower bound of the header's length; always more than the prefix had. Each attempt
        /// starts anew, so a caller should also let the prefix at least double.
        at_least_bytes: u64,
    },
}

impl Header {
    /// Parses and checks a header from the first bytes of a file.
    ///
    /// - `prefix`: the file from its beginning, as far as it has arrived
    /// - `file_bytes`: the length of the whole file, where known. Then every tensor must lie
    ///   inside it, and a header that cannot fit is an error at once.
    ///
    /// Fails on anything that breaks the format, naming the key or the tensor.
    pub fn parse(prefix: &[u8], file_bytes: Option<u64>) -> Result<Parsed, Error> {
        match read(prefix, file_bytes) {
            Ok(header) => Ok(Parsed::Complete(header)),
            Err(Stop::NeedMore(at_least_bytes)) => Ok(Parsed::NeedMore { at_least_bytes }),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Reads no more of a file than its header takes (rounded up), and parses that.
    ///
    /// - `file_bytes`: the length of the whole file
    ///
    /// Fails as [`parse`](Header::parse) does, or if the file cannot be read.
    pub fn read(file: &mut impl Read, file_bytes: u64) -> Result<Header, Error> {
        let mut prefix = Vec::new();
        let mut wanted = FIRST_READ_BYTES;
        loop {
            let missing = wanted.min(file_bytes).saturating_sub(prefix.len() as u64);
            let found = file.take(missing).read_to_end(&mut prefix);
            let found = found.map_err(|source| Error::Read { source })? as u64;
            if found < missing {
                return Err(Error::Truncated {
                    what: "the header".to_owned(),
                    needed_bytes: prefix.len() as u64 + missing - found,
                    file_bytes: prefix.len() as u64,
                });
            }
            match Header::parse(&prefix, Some(file_bytes))? {
                Parsed::Complete(header) => return Ok(header),
                // Bounded by the cap on headers and by the file's length.
                Parsed::NeedMore { at_least_bytes } => wanted = at_least_bytes.max(wanted * 2),
            }
        }
    }

    /// The tensor of this name.
    ///
    /// Fails if there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .ok_or_else(|| Error::TensorMissing {
                name: name.to_owned(),
            })
    }
}

fn read(prefix: &[u8], file_bytes: Option<u64>) -> Result<Header, Stop> {
    let mut cursor = Cursor::new(prefix, file_bytes, MAX_HEADER_BYTES);
    let magic: [u8; 4] = cursor.array(|| "the magic".to_owned())?;
    if &magic != b"GGUF" {
        return Err(Error::NotGguf { found: magic }.into());
    }
    let version = cursor.u32(|| "the version".to_owned())?;
    match version {
        2 | 3 => {}
        _ if (1..=3).contains(&version.swap_bytes()) => {
            return Err(Error::BigEndian {
                version: version.swap_bytes(),
            }
            .into());
        }
        found => return Err(Error::UnsupportedVersion { found }.into()),
    }
    let n_tensors = cursor.u64(|| "the tensor count".to_owned())?;
    let n_keys = cursor.u64(|| "the key count".to_owned())?;
    cursor.demand(n_keys, MIN_ENTRY_BYTES, || {
        format!("the metadata of {n_keys} keys")
    })?;
    cursor.demand(n_tensors, MIN_TENSOR_BYTES, || {
        format!("the table of {n_tensors} tensors")
    })?;

    let mut metadata = Metadata::new();
    for index in 0..n_keys {
        let key = read_name(&mut cursor, || format!("the name of key {index}"))?;
        let type_id = cursor.u32(|| format!("the type of key `{key}`"))?;
        let value = Value::read(&mut cursor, key, type_id)?;
        metadata.insert(key, value)?;
    }
    let alignment = read_alignment(&metadata)?;

    cursor.demand(n_tensors, MIN_TENSOR_BYTES, || {
        format!("the table of {n_tensors} tensors")
    })?;
    // In range: the prefix in memory holds many bytes for each.
    let mut tensors = Vec::with_capacity(n_tensors as usize);
    for index in 0..n_tensors {
        tensors.push(read_tensor(&mut cursor, index, alignment)?);
    }
    let header_bytes = cursor.position();
    let data_offset = header_bytes.next_multiple_of(alignment);
    let n_bytes = place(&mut tensors, data_offset, file_bytes)?.unwrap_or(header_bytes);
    Ok(Header {
        version,
        metadata,
        tensors,
        alignment,
        data_offset,
        n_bytes,
    })
}

fn read_name<'a>(cursor: &mut Cursor<'a>, what: impl Fn() -> String) -> Result<&'a str, Stop> {
    let name = cursor.string(&what)?;
    let found_bytes = name.len() as u64;
    if name.is_empty() {
        return Err(Error::EmptyName { what: what() }.into());
    }
    if found_bytes > MAX_NAME_BYTES {
        let limit_bytes = MAX_NAME_BYTES;
        return Err(Error::NameTooLong {
            what: what(),
            found_bytes,
            limit_bytes,
        }
        .into());
    }
    Ok(name)
}

fn read_alignment(metadata: &Metadata) -> Result<u64, Error> {
    let alignment = metadata
        .opt_u32(ALIGNMENT_KEY)?
        .map_or(DEFAULT_ALIGNMENT, u64::from);
    if !alignment.is_power_of_two() {
        return Err(Error::BadAlignment { found: alignment });
    }
    Ok(alignment)
}

/// Reads one entry of the tensor table; its offset stays relative to the data.
fn read_tensor(cursor: &mut Cursor, index: u64, alignment: u64) -> Result<TensorInfo, Stop> {
    let name = read_name(cursor, || format!("the name of tensor {index}"))?.to_owned();
    let what = || format!("the table entry of tensor `{name}`");
    let n_dimensions = cursor.u32(what)?;
    if !(1..=4).contains(&n_dimensions) {
        return Err(Error::BadDimensionCount {
            name,
            found: n_dimensions,
        }
        .into());
    }
    let mut dimensions = Vec::with_capacity(4);
    for _ in 0..n_dimensions {
        dimensions.push(cursor.u64(what)?);
    }
    let type_id = cursor.u32(what)?;
    let offset = cursor.u64(what)?;

    let row_elements = dimensions[0];
    dimensions.reverse();
    let shape = dimensions;
    if shape.contains(&0) {
        return Err(Error::EmptyTensor { name, shape }.into());
    }
    let tensor_type = TensorType::of_tensor(&name, type_id)?;
    let block_elements = tensor_type.block_elements();
    if !row_elements.is_multiple_of(block_elements as u64) {
        return Err(Error::RowNotBlocks {
            name,
            row_elements,
            tensor_type,
            block_elements,
        }
        .into());
    }
    let n_elements = shape
        .iter()
        .try_fold(1_u64, |product, n| product.checked_mul(*n));
    let Some((n_elements, n_bytes)) = n_elements.and_then(|n| Some((n, tensor_type.n_bytes(n)?)))
    else {
        return Err(Error::TensorTooLarge { name, shape }.into());
    };
    if usize::try_from(n_elements).is_err() {
        return Err(Error::TensorTooLarge { name, shape }.into());
    }
    if !offset.is_multiple_of(alignment) {
        return Err(Error::Misaligned {
            name,
            offset,
            alignment,
        }
        .into());
    }
    // No dimension exceeds the product, which fits.
    let shape = shape.into_iter().map(|n| n as usize).collect();
    Ok(TensorInfo {
        name,
        shape,
        tensor_type,
        offset,
        n_bytes,
    })
}

/// Makes offsets absolute, sorts, and checks names, bounds and overlap. Returns where the last ends.
fn place(
    tensors: &mut [TensorInfo],
    data_offset: u64,
    file_bytes: Option<u64>,
) -> Result<Option<u64>, Error> {
    let mut names = HashSet::with_capacity(tensors.len());
    for tensor in tensors.iter() {
        if !names.insert(tensor.name.as_str()) {
            return Err(Error::DuplicateTensor {
                name: tensor.name.clone(),
            });
        }
    }
    drop(names);
    for tensor in tensors.iter_mut() {
        let (relative, n_bytes) = (tensor.offset, tensor.n_bytes);
        let end = relative
            .checked_add(data_offset)
            .and_then(|start| start.checked_add(n_bytes));
        let limit = file_bytes.unwrap_or(u64::MAX);
        if end.is_none_or(|end| end > limit) {
            return Err(Error::TensorOutOfBounds {
                name: tensor.name.clone(),
                offset: relative.saturating_add(data_offset),
                n_bytes,
                file_bytes: limit,
            });
        }
        tensor.offset = relative + data_offset;
    }
    tensors.sort_by_key(|tensor| tensor.offset);
    for pair in tensors.windows(2) {
        let other_end = pair[0].offset + pair[0].n_bytes;
        if pair[1].offset < other_end {
            return Err(Error::Overlap {
                name: pair[1].name.clone(),
                offset: pair[1].offset,
                other: pair[0].name.clone(),
                other_end,
            });
        }
    }
    Ok(tensors.last().map(|last| last.offset + last.n_bytes))
}
