//! One GGUF file, fed in chunks of any size: its header, then its tensors in pieces of f32.

use crate::{
    Result,
    gguf::{self, Header, Parsed, TensorInfo},
};

use super::Error;

/// Encoded bytes that are decoded at once. A multiple of no block size; whole blocks are taken.
const PIECE_BYTES: usize = 1 << 20;

/// What becomes of the contents of a file.
pub trait Sink {
    /// The header is complete. What is taken out of it is not held to the file's end.
    fn header(&mut self, header: &mut Header) -> Result<()>;
    /// A tensor begins; the answer says what to do with it.
    fn begin(&mut self, info: &TensorInfo) -> Result<Want>;
    /// The next values of the tensor that began last.
    fn values(&mut self, values: &[f32]) -> Result<()>;
    /// The next whole blocks of `info`, which began last.
    fn blocks(&mut self, info: &TensorInfo, bytes: &[u8]) -> Result<()>;
    /// The tensor is complete.
    fn end(&mut self, info: &TensorInfo) -> Result<()>;
}

/// In which form a sink wants a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Not at all.
    Nothing,
    /// Decoded to f32.
    Values,
    /// As it is in the file.
    Blocks,
}

/// Push parser of one file.
pub struct Stream {
    file: String,
    /// Length of the file, where it is known before its end.
    n_bytes: Option<u64>,
    /// Bytes taken so far.
    position: u64,
    state: State,
}

enum State {
    /// Bytes of the header so far, and how many are needed before another look is worth it.
    Header {
        bytes: Vec<u8>,
        needed: u64,
    },
    Body(Body),
}

struct Body {
    header: Header,
    /// Index of the tensor whose bytes come next.
    tensor: usize,
    /// Bytes of it that were decoded or skipped.
    done: u64,
    want: Want,
    /// Bytes that do not fill a piece yet.
    pending: Vec<u8>,
    /// Room for the values of one piece.
    values: Vec<f32>,
}

impl Stream {
    /// - `n_bytes`: length of the file, where it is known; tensors beyond it are found at once
    pub fn new(file: String, n_bytes: Option<u64>) -> Self {
        let state = State::Header {
            bytes: Vec::new(),
            needed: 0,
        };
        Self {
            file,
            n_bytes,
            position: 0,
            state,
        }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, mut chunk: &[u8], sink: &mut impl Sink) -> Result<()> {
        if let State::Header { bytes, needed } = &mut self.state {
            bytes.extend_from_slice(chunk);
            if (bytes.len() as u64) < *needed {
                return Ok(());
            }
            match Header::parse(bytes, self.n_bytes)? {
                Parsed::NeedMore { at_least_bytes } => {
                    *needed = at_least_bytes;
                    return Ok(());
                }
                Parsed::Complete(mut header) => {
                    self.position = header.data_offset.min(bytes.len() as u64);
                    // The header's own bytes make room for what is made of it: a wasm memory never shrinks.
                    let rest = bytes[self.position as usize..].to_vec();
                    drop(std::mem::take(bytes));
                    sink.header(&mut header)?;
                    let mut body = Body::new(header);
                    body.begin(sink)?;
                    self.state = State::Body(body);
                    // What came after the header belongs to the tensors.
                    return self.push(&rest, sink);
                }
            }
        }
        let State::Body(body) = &mut self.state else {
            return Ok(());
        };
        while !chunk.is_empty() {
            let Some(info) = body.header.tensors.get(body.tensor) else {
                // Padding after the last tensor is allowed; anything past it is counted.
                self.position += chunk.len() as u64;
                break;
            };
            if self.position < info.offset {
                let n_skipped = (info.offset - self.position).min(chunk.len() as u64) as usize;
                chunk = &chunk[n_skipped..];
                self.position += n_skipped as u64;
                continue;
            }
            let n_left = info.n_bytes - body.done - body.pending.len() as u64;
            let n_taken = n_left
                .min((PIECE_BYTES - body.pending.len()) as u64)
                .min(chunk.len() as u64);
            let (taken, rest) = chunk.split_at(n_taken as usize);
            chunk = rest;
            self.position += n_taken;
            body.take(&self.file, taken, sink)?;
        }
        Ok(())
    }

    /// The file is over.
    pub fn finish(self) -> Result<Header> {
        match self.state {
            State::Header { bytes, needed } => Err(Error::EndedEarly {
                file: self.file,
                needed: needed.max(bytes.len() as u64 + 1),
                found: bytes.len() as u64,
            }
            .into()),
            State::Body(body) => {
                if body.tensor < body.header.tensors.len() {
                    return Err(Error::EndedEarly {
                        file: self.file,
                        needed: body.header.n_bytes,
                        found: self.position,
                    }
                    .into());
                }
                // Writers pad the last tensor to the alignment; more is another file's bytes.
                let most = body.header.n_bytes + body.header.alignment;
                if self.position > most {
                    return Err(Error::TooLong {
                        file: self.file,
                        needed: body.header.n_bytes,
                        found: self.position,
                    }
                    .into());
                }
                Ok(body.header)
            }
        }
    }
}

impl Body {
    fn new(header: Header) -> Self {
        let (pending, values) = (Vec::new(), Vec::new());
        Self {
            header,
            tensor: 0,
            done: 0,
            want: Want::Nothing,
            pending,
            values,
        }
    }

    /// Announces the current tensor, if there is one.
    fn begin(&mut self, sink: &mut impl Sink) -> Result<()> {
        if let Some(info) = self.header.tensors.get(self.tensor) {
            self.want = sink.begin(info)?;
        }
        Ok(())
    }

    /// Takes bytes of the current tensor, at most to its end or to the end of a piece.
    fn take(&mut self, file: &str, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let info = &self.header.tensors[self.tensor];
        if self.want == Want::Nothing {
            self.done += bytes.len() as u64;
        } else {
            self.pending.extend_from_slice(bytes);
            let is_last = self.done + self.pending.len() as u64 == info.n_bytes;
            if !is_last && self.pending.len() < PIECE_BYTES {
                return Ok(());
            }
            let block_bytes = info.tensor_type.block_bytes();
            let n_blocks = self.pending.len() / block_bytes;
            let whole = &self.pending[..n_blocks * block_bytes];
            if let Some(block) = gguf::first_not_finite(info.tensor_type, whole) {
                let before = self.done as usize / block_bytes;
                return Err(Error::NotFinite {
                    file: file.to_string(),
                    tensor: info.name.clone(),
                    element: (before + block) * info.tensor_type.block_elements(),
                }
                .into());
            }
            if self.want == Want::Values {
                self.values
                    .resize(n_blocks * info.tensor_type.block_elements(), 0.0);
                gguf::dequantize(info.tensor_type, whole, &mut self.values)?;
                sink.values(&self.values)?;
            } else {
                sink.blocks(info, whole)?;
            }
            let n_bytes = whole.len();
            self.pending.drain(..n_bytes);
            self.done += n_bytes as u64;
        }
        if self.done == info.n_bytes {
            if self.want != Want::Nothing {
                sink.end(info)?;
            }
            self.tensor += 1;
            self.done = 0;
            self.begin(sink)?;
        }
        Ok(())
    }
}
