//! Tensors of safetensors files, read range by range.
//!
//! Two spellings of names are in use: as stored (`model.layers…`, `visual…`) and as renamed on
//! load (`model.language_model.layers…`, `model.visual…`). Both become one canonical spelling:
//! `layers…`, `embed_tokens…`, `norm…`, `visual…`, `multi_vector_projector…`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype as StoredDtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::config::read_json;
use super::error::Error;
use crate::gguf::{self, TensorType};

/// The longest header that the safetensors format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A set of shards, seen as one table of tensors.
pub(super) struct Source {
    spelling: Spelling,
    shards: Vec<Shard>,
    /// By canonical name.
    tensors: BTreeMap<String, Stored>,
}

/// How names are written in a set of shards, and how they are looked up here.
#[derive(Clone, Copy)]
struct Spelling {
    canonical: fn(&str) -> &str,
    /// The published form of a canonical name, for messages.
    published: fn(&str) -> String,
}

struct Shard {
    path: PathBuf,
    file: File,
}

struct Stored {
    /// The name in the file, for messages.
    name: String,
    shard: usize,
    dtype: StoredDtype,
    shape: Vec<usize>,
    /// First byte of the data in the shard.
    start: u64,
    used: bool,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Source {
    /// Opens the base model: the shards of `model.safetensors.index.json`, or `model.safetensors`.
    pub fn open_base(from: &Path) -> Result<Source, Error> {
        let index_path = from.join("model.safetensors.index.json");
        let single = from.join("model.safetensors");
        if !index_path.exists() && single.exists() {
            let mut source = Source::empty(BASE);
            source.add_shard(single)?;
            return Ok(source);
        }
        let index: Index = read_json(&index_path)?;
        let mut shard_names: Vec<_> = index.weight_map.values().collect();
        shard_names.sort();
        shard_names.dedup();
        let mut source = Source::empty(BASE);
        for name in shard_names {
            // A name with a path in it would reach outside the directory.
            if name.contains(['/', '\\']) || name == ".." {
                return Err(Error::BadField {
                    path: index_path,
                    field: "weight_map".to_owned(),
                    needed: "plain file names".to_owned(),
                    found: format!("{name:?}"),
                });
            }
            source.add_shard(from.join(name))?;
        }
        for (name, shard) in &index.weight_map {
            let path = from.join(shard);
            let stored = source.tensors.get(canonical_base(name));
            if stored.is_none_or(|stored| source.shards[stored.shard].path != path) {
                return Err(Error::NotInShard {
                    name: name.clone(),
                    path,
                });
            }
        }
        Ok(source)
    }

    /// Opens `adapters/adapter_model.safetensors`.
    pub fn open_adapters(from: &Path) -> Result<Source, Error> {
        let mut source = Source::empty(ADAPTERS);
        source.add_shard(from.join("adapters/adapter_model.safetensors"))?;
        Ok(source)
    }

    fn empty(spelling: Spelling) -> Source {
        Source {
            spelling,
            shards: Vec::new(),
            tensors: BTreeMap::new(),
        }
    }

    fn add_shard(&mut self, path: PathBuf) -> Result<(), Error> {
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        let found_bytes = file.metadata().map_err(Error::io(&path))?.len();
        let (data_start, header) = read_header(&path, &mut file, found_bytes)?;
        let needed_bytes = data_start + header.data_len() as u64;
        if needed_bytes != found_bytes {
            return Err(Error::ShardSize {
                path,
                needed_bytes,
                found_bytes,
            });
        }
        let shard = self.shards.len();
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else {
                continue;
            };
            let stored = Stored {
                shard,
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: data_start + info.data_offsets.0 as u64,
                used: false,
                name: name.clone(),
            };
            if let Some(other) = self
                .tensors
                .insert((self.spelling.canonical)(&name).to_owned(), stored)
            {
                return Err(Error::TensorTwice {
                    name,
                    other: other.name,
                });
            }
        }
        self.shards.push(Shard { path, file });
        Ok(())
    }

    /// Marks a tensor as used, after checking that it is there with this shape and a known type.
    pub fn expect(&mut self, canonical: &str, needed: &[usize]) -> Result<(), Error> {
        let Some(stored) = self.tensors.get_mut(canonical) else {
            let name = (self.spelling.published)(canonical);
            return Err(Error::TensorMissing {
                name,
                needed: needed.to_vec(),
            });
        };
        if stored.shape != needed {
            return Err(Error::TensorShape {
                name: stored.name.clone(),
                needed: needed.to_vec(),
                found: stored.shape.clone(),
            });
        }
        stored.tensor_type()?;
        stored.used = true;
        Ok(())
    }

    /// Fails if a tensor is left that no plan has asked for.
    pub fn expect_all_used(&self) -> Result<(), Error> {
        let mut unused = self.tensors.values().filter(|stored| !stored.used);
        match unused.next() {
            Some(first) => Err(Error::TensorUnexpected {
                name: first.name.clone(),
                n_unknown: 1 + unused.count(),
            }),
            None => Ok(()),
        }
    }

    /// Appends `n_elements` of a tensor from element `first` on, as `f32`.
    ///
    /// Fails if the range is outside the tensor, on a value that is not finite, or if the file
    /// cannot be read.
    pub fn read(
        &mut self,
        canonical: &str,
        first: usize,
        n_elements: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let Some(stored) = self.tensors.get(canonical) else {
            let name = (self.spelling.published)(canonical);
            return Err(Error::TensorMissing {
                name,
                needed: Vec::new(),
            });
        };
        let tensor_type = stored.tensor_type()?;
        let shard = &mut self.shards[stored.shard];
        let element_bytes = tensor_type.block_bytes();
        let mut bytes = vec![0; n_elements * element_bytes];
        shard
            .file
            .seek(SeekFrom::Start(
                stored.start + (first * element_bytes) as u64,
            ))
            .and_then(|_| shard.file.read_exact(&mut bytes))
            .map_err(Error::io(&shard.path))?;
        let start = out.len();
        out.resize(start + n_elements, 0.0);
        gguf::dequantize(tensor_type, &bytes, &mut out[start..])?;
        match out[start..].iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::NotFinite {
                name: stored.name.clone(),
                at_element: first + at,
                value: out[start + at],
            }),
            None => Ok(()),
        }
    }
}

impl Stored {
    fn tensor_type(&self) -> Result<TensorType, Error> {
        match self.dtype {
            StoredDtype::BF16 => Ok(TensorType::BF16),
            StoredDtype::F16 => Ok(TensorType::F16),
            StoredDtype::F32 => Ok(TensorType::F32),
            other => Err(Error::TensorDtype {
                name: self.name.clone(),
                found: format!("{other:?}"),
            }),
        }
    }
}

/// Reads and checks the header. Returns where the data begins, and the table.
fn read_header(path: &Path, file: &mut File, file_bytes: u64) -> Result<(u64, Metadata), Error> {
    let bad = |reason: String| Error::BadShard {
        path: path.to_owned(),
        reason,
    };
    if file_bytes < 8 {
        return Err(bad(format!("the file has only {file_bytes} bytes")));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(Error::io(path))?;
    let n_bytes = u64::from_le_bytes(length);
    if n_bytes > MAX_HEADER_BYTES || n_bytes > file_bytes - 8 {
        return Err(bad(format!(
            "it claims {n_bytes} bytes of a file of {file_bytes}"
        )));
    }
    let mut header = vec![0; n_bytes as usize];
    file.read_exact(&mut header).map_err(Error::io(path))?;
    let header = serde_json::from_slice(&header).map_err(|error| bad(error.to_string()))?;
    Ok((8 + n_bytes, header))
}

const BASE: Spelling = Spelling {
    canonical: canonical_base,
    published: published_base,
};
const ADAPTERS: Spelling = Spelling {
    canonical: canonical_adapter,
    published: published_adapter,
};

/// `model.visual.X` and `visual.X` become `visual.X`; `model.language_model.layers.X` and
/// `model.layers.X` become `layers.X`; the projector keeps its name.
fn canonical_base(name: &str) -> &str {
    let name = name.strip_prefix("model.").unwrap_or(name);
    name.strip_prefix("language_model.").unwrap_or(name)
}

fn published_base(canonical: &str) -> String {
    let top_level = ["visual.", "multi_vector_projector."];
    let own = top_level.iter().any(|prefix| canonical.starts_with(prefix));
    let prefix = if own { "" } else { "model." };
    format!("{prefix}{canonical}")
}

/// `base_model.model.model.language_model.X` and `base_model.model.model.X` become `X`.
fn canonical_adapter(name: &str) -> &str {
    canonical_base(name.strip_prefix("base_model.model.").unwrap_or(name))
}

fn published_adapter(canonical: &str) -> String {
    let own = canonical.starts_with("multi_vector_projector.");
    let inner = if own { "" } else { "model.language_model." };
    format!("base_model.model.{inner}{canonical}")
}
