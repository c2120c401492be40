//! What goes into an output file: for each tensor its place in the file and its source.

use super::error::Error;
use super::manifest::Role;
use super::source::Source;
use super::{Dtype, Options};
use crate::gguf::split::{Split, part_name};
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
#[derive(Debug)]
pub(super) struct TensorPlan {
    pub spec: TensorSpec,
    pub origin: Origin,
    /// Canonical name in the source.
    pub source_name: String,
    /// The type there.
    pub source_type: TensorType,
    pub runs: Runs,
    /// What is added to it.
    pub update: Option<Update>,
}

/// Which set of files a tensor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Base,
    Adapters,
    Vision,
}

/// The sets of files that a model is made of.
pub(super) struct Sources {
    pub base: Source,
    /// Absent where the adapter is merged into the base, or none is read.
    pub adapters: Option<Source>,
    /// The vision tower, where it is not in the base.
    pub vision: Option<Source>,
}

impl Sources {
    /// The set of one origin, which is there if a plan names it.
    pub fn of(&self, origin: Origin) -> &Source {
        let own = match origin {
            Origin::Base => None,
            Origin::Adapters => self.adapters.as_ref(),
            Origin::Vision => self.vision.as_ref(),
        };
        own.unwrap_or(&self.base)
    }

    /// Every set.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        let others = [&self.adapters, &self.vision];
        std::iter::once(&self.base).chain(others.into_iter().flatten())
    }
}

/// scale B A: the low-rank update of a matrix by an adapter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    /// `[rank, in]` and `[out, rank]`, by their names among the adapters.
    pub a: String,
    pub b: String,
    pub rank: usize,
    pub scale: f32,
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
    pub source: &'a Source,
    pub origin: Origin,
    pub dtype: Dtype,
    /// Layers of the model, by which the mixtures choose.
    pub n_layers: usize,
    pub tensors: Vec<TensorPlan>,
}

impl<'a> Planner<'a> {
    pub fn new(sources: &'a Sources, origin: Origin, dtype: Dtype, n_layers: usize) -> Planner<'a> {
        Planner {
            source: sources.of(origin),
            origin,
            dtype,
            n_layers,
            tensors: Vec::new(),
        }
    }

    /// A whole source tensor under a new name.
    pub fn whole(
        &mut self,
        name: String,
        source_name: String,
        shape: &[usize],
    ) -> Result<&mut TensorPlan, Error> {
        let source_type = self.source.expect(&source_name, shape)?;
        let runs = Runs::one(0, shape.iter().product());
        self.part(name, (&source_name, source_type), shape, runs);
        let last = self.tensors.len() - 1;
        Ok(&mut self.tensors[last])
    }

    /// Part of a source tensor that has been checked.
    pub fn part(
        &mut self,
        name: String,
        (source_name, source_type): (&str, TensorType),
        shape: &[usize],
        runs: Runs,
    ) {
        let tensor_type = self
            .dtype
            .of_tensor(&name, shape, source_type, self.n_layers);
        let spec = TensorSpec {
            name,
            shape: shape.to_vec(),
            tensor_type,
        };
        self.push(spec, source_name.to_owned(), source_type, runs);
    }

    /// A tensor of a type of its own, from a source that has been checked.
    pub fn push(
        &mut self,
        spec: TensorSpec,
        source_name: String,
        source_type: TensorType,
        runs: Runs,
    ) {
        self.tensors.push(TensorPlan {
            spec,
            origin: self.origin,
            source_name,
            source_type,
            runs,
            update: None,
        });
    }
}

/// The keys that every file begins with.
pub(super) fn general_metadata(
    architecture: &str,
    kind: &str,
    name: &str,
    file_type: Option<u32>,
) -> Result<Metadata, Error> {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture)?;
    metadata.insert("general.type", kind)?;
    metadata.insert("general.name", name)?;
    if let Some(file_type) = file_type {
        metadata.insert("general.file_type", file_type)?;
        metadata.insert("general.quantization_version", 2_u32)?;
    }
    Ok(metadata)
}

/// Cuts a list of tensors into parts of about `options.split_bytes`, at whole tensors.
fn split(options: &Options, tensors: Vec<TensorPlan>) -> Result<Vec<Vec<TensorPlan>>, Error> {
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

/// The files of the text model: cut into parts, of which only the first carries the model's keys.
pub(super) fn text_files(
    options: &Options,
    mut metadata: Metadata,
    tensors: Vec<TensorPlan>,
) -> Result<Vec<FilePlan>, Error> {
    let n_tensors = tensors.len() as u32;
    let parts = split(options, tensors)?;
    let count = parts.len() as u32;
    let mut files = Vec::with_capacity(parts.len());
    for (number, tensors) in parts.into_iter().enumerate() {
        let number = number as u32;
        if count > 1 {
            Split {
                number,
                count,
                n_tensors,
            }
            .insert_into(&mut metadata)?;
        }
        let path = part_name("text", number, count);
        files.push(FilePlan::new(path, Role::Text, None, &metadata, tensors)?);
        metadata = Metadata::new();
    }
    Ok(files)
}
