//! What goes into an output file: for each tensor its place in the file and its source.

use super::error::Error;
use super::manifest::Role;
use super::source::Source;
use super::{Dtype, Options};
use crate::gguf::{Metadata, TensorSpec, TensorType, Writer};

/// An output file whose header is fixed.
pub(super) struct FilePlan {
    pub path: String,
    pub role: Role,
    pub task: Option<String>,
    pub writer: Writer,
    pub tensors: Vec<TensorPlan>,
}

impl FilePlan {
    pub fn new(
        path: String,
        role: Role,
        task: Option<String>,
        metadata: &Metadata,
        tensors: Vec<TensorPlan>,
    ) -> Result<FilePlan, Error> {
        let specs: Vec<_> = tensors.iter().map(|tensor| tensor.spec.clone()).collect();
        let writer = Writer::new(metadata, &specs)?;
        Ok(FilePlan {
            path,
            role,
            task,
            writer,
            tensors,
        })
    }

    /// Length of the file.
    pub fn n_bytes(&self) -> u64 {
        self.writer.n_bytes()
    }
}

/// One tensor of an output file.
pub(super) struct TensorPlan {
    pub spec: TensorSpec,
    pub origin: Origin,
    /// Canonical name in the source.
    pub source_name: String,
    pub runs: Runs,
}

/// Which set of shards a tensor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Base,
    Adapters,
}

/// The elements of a source tensor that make an output tensor: `count` runs of `run` elements,
/// the first at `first`, each `step` after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runs {
    pub first: usize,
    pub run: usize,
    pub step: usize,
    pub count: usize,
}

impl Runs {
    /// `run` elements in one piece.
    pub fn one(first: usize, run: usize) -> Runs {
        Runs {
            first,
            run,
            step: run,
            count: 1,
        }
    }
}

/// Collects tensors, checking each source as it is named.
pub(super) struct Planner<'a> {
    pub source: &'a mut Source,
    pub origin: Origin,
    pub tensors: Vec<TensorPlan>,
}

impl<'a> Planner<'a> {
    pub fn new(source: &'a mut Source, origin: Origin) -> Planner<'a> {
        Planner {
            source,
            origin,
            tensors: Vec::new(),
        }
    }

    /// A whole source tensor under a new name.
    ///
    /// Vectors are kept in F32. Matrices whose rows are not whole blocks of `wanted` fall back to
    /// F16, as in llama.cpp.
    pub fn whole(
        &mut self,
        name: String,
        source_name: String,
        shape: &[usize],
        wanted: TensorType,
    ) -> Result<(), Error> {
        self.source.expect(&source_name, shape)?;
        let runs = Runs::one(0, shape.iter().product());
        self.push(name, source_name, shape, wanted, runs);
        Ok(())
    }

    /// Part of a source tensor that has been checked.
    pub fn push(
        &mut self,
        name: String,
        source_name: String,
        shape: &[usize],
        wanted: TensorType,
        runs: Runs,
    ) {
        let tensor_type = stored_type(wanted, shape);
        let spec = TensorSpec {
            name,
            shape: shape.to_vec(),
            tensor_type,
        };
        self.tensors.push(TensorPlan {
            spec,
            origin: self.origin,
            source_name,
            runs,
        });
    }
}

fn stored_type(wanted: TensorType, shape: &[usize]) -> TensorType {
    match shape {
        [] | [_] => TensorType::F32,
        [.., row] if row.is_multiple_of(wanted.block_elements()) => wanted,
        _ => TensorType::F16,
    }
}

/// The keys that every file begins with.
pub(super) fn general_metadata(
    architecture: &str,
    kind: &str,
    name: &str,
    file_type: Option<Dtype>,
) -> Result<Metadata, Error> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture)?;
    metadata.insert("general.type", kind)?;
    metadata.insert("general.name", name)?;
    if let Some(dtype) = file_type {
        metadata.insert("general.file_type", dtype.file_type())?;
        metadata.insert("general.quantization_version", 2_u32)?;
    }
    Ok(metadata)
}

/// Cuts a list of tensors into parts of about `options.split_bytes`, at whole tensors.
pub(super) fn split(
    options: &Options,
    tensors: Vec<TensorPlan>,
) -> Result<Vec<Vec<TensorPlan>>, Error> {
    let mut parts: Vec<Vec<TensorPlan>> = Vec::new();
    let mut part_bytes = 0;
    for tensor in tensors {
        let n_bytes = tensor.spec.n_bytes()?;
        match parts.last_mut() {
            Some(part) if part_bytes + n_bytes <= options.split_bytes => {
                part.push(tensor);
                part_bytes += n_bytes;
            }
            _ => {
                parts.push(vec![tensor]);
                part_bytes = n_bytes;
            }
        }
    }
    Ok(parts)
}
