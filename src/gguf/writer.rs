//! Writes GGUF version 3: header first, then tensor data in the order announced, so that no more
//! than a chunk of one tensor is ever in memory.

use std::collections::HashSet;
use std::io::Write;

use super::error::Error;
use super::metadata::Metadata;
use super::tensor::TensorType;
use super::value::write_string;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};

/// ggml keeps tensor names in a fixed array of 64 bytes with a closing zero.
const MAX_TENSOR_NAME_BYTES: usize = 63;

/// What the table says of a tensor that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name, unique in the file, at most 63 bytes.
    pub name: String,
    /// Row-major, outermost first; 1 to 4 dimensions.
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub tensor_type: TensorType,
}

impl TensorSpec {
    /// Bytes of the tensor's data.
    ///
    /// Fails if the tensor breaks a rule of the format.
    pub fn n_bytes(&self) -> Result<u64, Error> {
        let name = || self.name.clone();
        let shape = || self.shape.iter().map(|n| *n as u64).collect::<Vec<_>>();
        if !(1..=4).contains(&self.shape.len()) {
            return Err(Error::BadDimensionCount {
                name: name(),
                found: self.shape.len() as u32,
            });
        }
        if self.shape.contains(&0) {
            return Err(Error::EmptyTensor {
                name: name(),
                shape: shape(),
            });
        }
        let block_elements = self.tensor_type.block_elements();
        let row_elements = self.shape.last().copied().unwrap_or(0);
        if !row_elements.is_multiple_of(block_elements) {
            return Err(Error::RowNotBlocks {
                name: name(),
                row_elements: row_elements as u64,
                tensor_type: self.tensor_type,
                block_elements,
            });
        }
        shape()
            .iter()
            .try_fold(1_u64, |product, n| product.checked_mul(*n))
            .and_then(|n_elements| self.tensor_type.n_bytes(n_elements))
            .ok_or_else(|| Error::TensorTooLarge {
                name: name(),
                shape: shape(),
            })
    }
}

/// A file that is about to be written: its header is fixed, its tensor data still to come.
#[derive(Debug)]
pub struct Writer {
    header: Vec<u8>,
    /// Name and size of each tensor, in the order in which data must come.
    tensors: Vec<(String, u64)>,
    n_bytes: u64,
}

impl Writer {
    /// Lays out a file with these keys and tensors, data aligned to 32 bytes.
    ///
    /// Fails if a tensor breaks a rule of the format, if a name occurs twice, or if the metadata
    /// asks for another alignment.
    pub fn new(metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Writer, Error> {
        if let Some(found) = metadata.opt_u32(ALIGNMENT_KEY)?.map(u64::from)
            && found != DEFAULT_ALIGNMENT
        {
            return Err(Error::BadAlignment { found });
        }
        let mut header = b"GGUF".to_vec();
        header.extend_from_slice(&3_u32.to_le_bytes());
        header.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
        header.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata.iter() {
            if key.is_empty() {
                return Err(Error::EmptyName {
                    what: "a key".to_owned(),
                });
            }
            write_string(key, &mut header);
            header.extend_from_slice(&value.type_id().to_le_bytes());
            value.write(&mut header);
        }
        let mut names = HashSet::new();
        let mut sizes = Vec::with_capacity(tensors.len());
        let mut offset = 0_u64;
        for (index, tensor) in tensors.iter().enumerate() {
            let name = &tensor.name;
            if name.is_empty() {
                return Err(Error::EmptyName {
                    what: format!("the name of tensor {index}"),
                });
            }
            if name.len() > MAX_TENSOR_NAME_BYTES {
                return Err(Error::NameTooLong {
                    what: format!("the name of tensor `{name}`"),
                    found_bytes: name.len() as u64,
                    limit_bytes: MAX_TENSOR_NAME_BYTES as u64,
                });
            }
            if !names.insert(name.as_str()) {
                return Err(Error::DuplicateTensor { name: name.clone() });
            }
            let n_bytes = tensor.n_bytes()?;
            write_string(name, &mut header);
            header.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
            for n in tensor.shape.iter().rev() {
                header.extend_from_slice(&(*n as u64).to_le_bytes());
            }
            header.extend_from_slice(&tensor.tensor_type.id().to_le_bytes());
            header.extend_from_slice(&offset.to_le_bytes());
            sizes.push((name.clone(), n_bytes));
            offset = offset
                .checked_add(n_bytes)
                .and_then(|end| end.checked_next_multiple_of(DEFAULT_ALIGNMENT))
                .ok_or_else(|| Error::TensorTooLarge {
                    name: name.clone(),
                    shape: tensor.shape.iter().map(|n| *n as u64).collect(),
                })?;
        }
        header.resize(header.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
        let n_bytes = header.len() as u64 + offset;
        Ok(Writer {
            header,
            tensors: sizes,
            n_bytes,
        })
    }

    /// What the file begins with: keys, tensor table, padding.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Length of the whole file, padding included.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Writes the header and returns the stream that takes the tensor data.
    ///
    /// Fails if the destination does.
    pub fn begin<W: Write>(self, mut out: W) -> Result<TensorStream<W>, Error> {
        out.write_all(&self.header)?;
        Ok(TensorStream {
            out,
            tensors: self.tensors,
            current: 0,
            written: 0,
        })
    }
}

/// Takes tensor data in the announced order, in chunks of any size.
#[derive(Debug)]
pub struct TensorStream<W: Write> {
    out: W,
    tensors: Vec<(String, u64)>,
    /// Which tensor is being written, and how many of its bytes are.
    current: usize,
    written: u64,
}

impl<W: Write> TensorStream<W> {
    /// Appends bytes to the tensor `name`, which must be the first that is not complete.
    ///
    /// Fails if another tensor is due, if this one has no room for so many bytes, or if the
    /// destination fails.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let Some((due, n_bytes)) = self.tensors.get(self.current) else {
            return Err(Error::WriteOrder {
                needed: "no further data".to_owned(),
                found: format!("tensor `{name}`"),
            });
        };
        let room = n_bytes - self.written;
        if due != name || bytes.len() as u64 > room {
            return Err(Error::WriteOrder {
                needed: format!("at most {room} bytes of tensor `{due}`"),
                found: format!("{} bytes of tensor `{name}`", bytes.len()),
            });
        }
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written == *n_bytes {
            let padding = n_bytes.next_multiple_of(DEFAULT_ALIGNMENT) - n_bytes;
            self.out
                .write_all(&[0; DEFAULT_ALIGNMENT as usize][..padding as usize])?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// The destination, to look at.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// Ends the file, flushes and hands the destination back.
    ///
    /// Fails if data is missing or if the destination fails.
    pub fn finish(mut self) -> Result<W, Error> {
        if let Some((due, n_bytes)) = self.tensors.get(self.current) {
            return Err(Error::WriteOrder {
                needed: format!("{} more bytes of tensor `{due}`", n_bytes - self.written),
                found: "the end".to_owned(),
            });
        }
        self.out.flush()?;
        Ok(self.out)
    }
}
