//! The tensors that a model is made of, wherever they lie, read range by range from any thread.

mod gguf_file;
mod names;
mod safetensors_files;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) use gguf_file::GgufSource;

use super::error::Error;
use crate::gguf::{self, TensorType};
use names::Spelling;

/// A set of files, seen as one table of tensors.
pub(super) struct Source {
    spelling: Spelling,
    files: Vec<OpenFile>,
    /// By canonical name.
    tensors: BTreeMap<String, Stored>,
}

struct OpenFile {
    path: PathBuf,
    file: File,
}

struct Stored {
    /// The name in the file, for messages.
    name: String,
    file: usize,
    /// `None`, with the name of the type, where it is not read here.
    tensor_type: Result<TensorType, String>,
    shape: Vec<usize>,
    /// First byte of the data in the file.
    start: u64,
    used: AtomicBool,
}

impl Source {
    fn empty(spelling: Spelling) -> Source {
        Source {
            spelling,
            files: Vec::new(),
            tensors: BTreeMap::new(),
        }
    }

    fn insert(&mut self, stored: Stored) -> Result<(), Error> {
        let name = stored.name.clone();
        let canonical = (self.spelling.canonical)(&name).to_owned();
        match self.tensors.insert(canonical, stored) {
            Some(other) => Err(Error::TensorTwice {
                name,
                other: other.name,
            }),
            None => Ok(()),
        }
    }

    /// Whether there is such a tensor.
    pub fn has(&self, canonical: &str) -> bool {
        self.tensors.contains_key(canonical)
    }

    /// Marks a tensor as used, after checking that it is there with this shape and a known type,
    /// which is returned.
    pub fn expect(&self, canonical: &str, needed: &[usize]) -> Result<TensorType, Error> {
        let stored = self.find(canonical, needed)?;
        if stored.shape != needed {
            return Err(Error::TensorShape {
                name: stored.name.clone(),
                needed: needed.to_vec(),
                found: stored.shape.clone(),
            });
        }
        stored.used.store(true, Ordering::Relaxed);
        stored.tensor_type()
    }

    /// Marks a tensor as known that nothing is made of.
    pub fn ignore(&self, canonical: &str) {
        if let Some(stored) = self.tensors.get(canonical) {
            stored.used.store(true, Ordering::Relaxed);
        }
    }

    fn find(&self, canonical: &str, needed: &[usize]) -> Result<&Stored, Error> {
        self.tensors
            .get(canonical)
            .ok_or_else(|| Error::TensorMissing {
                name: (self.spelling.published)(canonical),
                needed: needed.to_vec(),
            })
    }

    /// Fails if a tensor is left that no plan has asked for.
    pub fn expect_all_used(&self) -> Result<(), Error> {
        let unused = |stored: &&Stored| !stored.used.load(Ordering::Relaxed);
        let mut unused = self.tensors.values().filter(unused);
        match unused.next() {
            Some(first) => Err(Error::TensorUnexpected {
                name: first.name.clone(),
                n_unknown: 1 + unused.count(),
            }),
            None => Ok(()),
        }
    }

    /// Appends `n_elements` of a tensor from element `first` on, as `f32`; both in whole blocks.
    ///
    /// Fails if the range is outside the tensor, on a value that is not finite, or if the file
    /// cannot be read.
    pub fn read(
        &self,
        canonical: &str,
        first: usize,
        n_elements: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let (stored, bytes) = self.read_stored(canonical, first, n_elements)?;
        let start = out.len();
        out.resize(start + n_elements, 0.0);
        gguf::dequantize(stored.tensor_type()?, &bytes, &mut out[start..])?;
        match out[start..].iter().position(|value| !value.is_finite()) {
            Some(at) => Err(stored.not_finite(first + at, out[start + at])),
            None => Ok(()),
        }
    }

    /// The bytes of a range as they are; in whole blocks.
    ///
    /// Fails as [`read`](Source::read) does.
    pub fn read_bytes(
        &self,
        canonical: &str,
        first: usize,
        n_elements: usize,
    ) -> Result<Vec<u8>, Error> {
        let (stored, bytes) = self.read_stored(canonical, first, n_elements)?;
        let tensor_type = stored.tensor_type()?;
        match gguf::first_not_finite(tensor_type, &bytes) {
            Some(block) => {
                let at = first + block * tensor_type.block_elements();
                Err(stored.not_finite(at, f32::NAN))
            }
            None => Ok(bytes),
        }
    }

    fn read_stored(
        &self,
        canonical: &str,
        first: usize,
        n_elements: usize,
    ) -> Result<(&Stored, Vec<u8>), Error> {
        let stored = self.find(canonical, &[])?;
        let tensor_type = stored.tensor_type()?;
        let not_blocks = || gguf::Error::NotBlocks {
            tensor_type,
            n_elements,
            block_elements: tensor_type.block_elements(),
        };
        let at = tensor_type.n_bytes(first as u64).ok_or_else(not_blocks)?;
        let n_bytes = tensor_type.n_bytes(n_elements as u64);
        let mut bytes = vec![0; n_bytes.ok_or_else(not_blocks)? as usize];
        let OpenFile { path, file } = &self.files[stored.file];
        read_exact_at(file, &mut bytes, stored.start + at).map_err(Error::io(path))?;
        Ok((stored, bytes))
    }

    /// What tells these files from others of the same names and headers: lengths and times of the
    /// last change.
    pub fn stamp(&self) -> Result<String, Error> {
        let mut stamp = String::new();
        for OpenFile { path, file } in &self.files {
            let of_file = file.metadata().map_err(Error::io(path))?;
            let changed = of_file.modified().ok();
            let since = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            stamp += &format!("{} {since:?}\n", of_file.len());
        }
        Ok(stamp)
    }
}

impl Stored {
    fn tensor_type(&self) -> Result<TensorType, Error> {
        self.tensor_type
            .clone()
            .map_err(|found| Error::TensorDtype {
                name: self.name.clone(),
                found,
            })
    }

    fn not_finite(&self, at_element: usize, value: f32) -> Error {
        Error::NotFinite {
            name: self.name.clone(),
            at_element,
            value,
        }
    }
}

/// Opens a file and tells its length.
fn open(path: &Path) -> Result<(File, u64), Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let n_bytes = file.metadata().map_err(Error::io(path))?.len();
    Ok((file, n_bytes))
}

/// Reads without moving the file's position, so that threads can share it.
#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// As on Unix; the position does move, and nobody looks at it.
#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n_read => {
                bytes = &mut bytes[n_read..];
                at += n_read as u64;
            }
        }
    }
    Ok(())
}
