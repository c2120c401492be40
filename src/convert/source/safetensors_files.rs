//! Shards as published: safetensors files and their index.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use safetensors::Dtype as StoredDtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::names::{ADAPTERS, BASE, canonical_base};
use super::{OpenFile, Source, Stored, open};
use crate::convert::config::read_json;
use crate::convert::error::Error;
use crate::gguf::TensorType;

/// The longest header that the safetensors format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

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
            if stored.is_none_or(|stored| source.files[stored.file].path != path) {
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

    fn add_shard(&mut self, path: PathBuf) -> Result<(), Error> {
        let (mut file, found_bytes) = open(&path)?;
        let (data_start, header) = read_header(&path, &mut file, found_bytes)?;
        let needed_bytes = data_start + header.data_len() as u64;
        if needed_bytes != found_bytes {
            return Err(Error::ShardSize {
                path,
                needed_bytes,
                found_bytes,
            });
        }
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else {
                continue;
            };
            self.insert(Stored {
                file: self.files.len(),
                tensor_type: tensor_type(info.dtype),
                shape: info.shape.clone(),
                start: data_start + info.data_offsets.0 as u64,
                used: AtomicBool::new(false),
                name,
            })?;
        }
        self.files.push(OpenFile { path, file });
        Ok(())
    }
}

fn tensor_type(dtype: StoredDtype) -> Result<TensorType, String> {
    match dtype {
        StoredDtype::BF16 => Ok(TensorType::BF16),
        StoredDtype::F16 => Ok(TensorType::F16),
        StoredDtype::F32 => Ok(TensorType::F32),
        other => Err(format!("{other:?}")),
    }
}

/// Reads and checks the header. Returns where the data begins, and the table.
fn read_header(
    path: &Path,
    file: &mut std::fs::File,
    file_bytes: u64,
) -> Result<(u64, Metadata), Error> {
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
