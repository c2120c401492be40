//! GGUF files as others publish them, in one piece or in parts.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::names::GGUF;
use super::{OpenFile, Source, Stored, open};
use crate::convert::error::Error;
use crate::gguf::{Header, Metadata, TensorInfo, split};

/// The tensors of a file, or of the parts of a split one, with what the first part says of them.
pub(in crate::convert) struct GgufSource {
    pub source: Source,
    pub metadata: Metadata,
    /// In the order of the file.
    pub tensors: Vec<TensorInfo>,
}

impl GgufSource {
    /// Opens a file; any part of a split one stands for all.
    ///
    /// Fails if a part is missing, damaged, or of another model.
    pub fn open(path: &Path) -> Result<GgufSource, Error> {
        let mut source = Source::empty(GGUF);
        let mut headers = Vec::new();
        for path in parts(path) {
            let (mut file, n_bytes) = open(&path)?;
            let header = Header::read(&mut file, n_bytes).map_err(|source| Error::BadGguf {
                path: path.clone(),
                source,
            })?;
            for tensor in &header.tensors {
                source.insert(Stored {
                    name: tensor.name.clone(),
                    file: source.files.len(),
                    tensor_type: Ok(tensor.tensor_type),
                    shape: tensor.shape.clone(),
                    start: tensor.offset,
                    used: AtomicBool::new(false),
                })?;
            }
            source.files.push(OpenFile { path, file });
            headers.push(header);
        }
        split::check_parts(&headers.iter().collect::<Vec<_>>())?;
        let tensors = headers.iter().flat_map(|header| header.tensors.clone());
        let tensors = tensors.collect();
        let metadata = headers.into_iter().next().map(|header| header.metadata);
        Ok(GgufSource {
            source,
            metadata: metadata.unwrap_or_default(),
            tensors,
        })
    }
}

fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.and_then(split::parse_part_name) {
        Some((stem, _, count)) => (0..count)
            .map(|index| path.with_file_name(split::part_name(stem, index, count)))
            .collect(),
        None => vec![path.to_owned()],
    }
}
