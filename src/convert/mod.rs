//! From a published Hugging Face directory to a model directory of GGUF files.
//!
//! 1. Read the configuration and the headers of all shards; plan every output tensor and check its
//!    source for presence and shape. Nothing has been written by then.
//! 2. Write the files one after another into `<DIR>.partial`: a chunk of one tensor at a time is
//!    read, widened to `f32`, encoded, hashed and written.
//! 3. Write `model.json`, flush everything to disk, rename the directory to its final name.
//!
//! A run that is interrupted anywhere leaves at most a `.partial` directory, which nothing reads
//! and the next run replaces. Memory is bounded by one chunk, whatever the model's size.

mod adapters;
mod config;
mod destination;
mod error;
mod manifest;
mod plan;
mod source;
mod text;
mod tokenizer;
mod vision;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use manifest::{ConfigSummary, Manifest, ManifestFile, Pieces, Role};

use crate::gguf::TensorType;
use config::ModelConfig;
use destination::Destination;
use plan::FilePlan;
use source::Source;

/// How the large matrices are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of `F32`.
    Bf16,
    /// 8-bit blocks.
    Q8_0,
    /// 4-bit blocks.
    Q4_0,
}

impl Dtype {
    /// The name on the command line and in `model.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Q8_0 => "q8_0",
            Dtype::Q4_0 => "q4_0",
        }
    }

    const fn tensor_type(self) -> TensorType {
        match self {
            Dtype::F32 => TensorType::F32,
            Dtype::F16 => TensorType::F16,
            Dtype::Bf16 => TensorType::BF16,
            Dtype::Q8_0 => TensorType::Q8_0,
            Dtype::Q4_0 => TensorType::Q4_0,
        }
    }

    /// llama.cpp's number for "mostly this type", the key `general.file_type`.
    const fn file_type(self) -> u32 {
        match self {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::Bf16 => 32,
            Dtype::Q8_0 => 7,
            Dtype::Q4_0 => 2,
        }
    }

    /// How the small low-rank matrices are stored beside matrices of this type.
    const fn small(self) -> TensorType {
        match self {
            Dtype::F32 => TensorType::F32,
            _ => TensorType::F16,
        }
    }
}

/// What to convert, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory as published: `config.json`, shards, `adapters/`, tokeniser.
    pub from: PathBuf,
    /// The model directory to make.
    pub to: PathBuf,
    /// How the text model's matrices are stored.
    pub dtype: Dtype,
    /// How the vision tower's matrices are stored.
    pub vision_dtype: Dtype,
    /// The text model is cut into files of about this many bytes, at whole tensors.
    pub split_bytes: u64,
    /// The model's name; by default the last part of the name that `config.json` carries, else the
    /// source directory's.
    pub name: Option<String>,
    /// Replace a model directory that is there already.
    pub force: bool,
}

/// How far the writing has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file being written.
    pub file: &'a str,
    /// Bytes written so far, over all files.
    pub done_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

/// Converts a model; returns what `model.json` says.
///
/// `on_progress` is called at the beginning of every file and after every chunk.
///
/// Fails, with nothing at `options.to` touched, if a source file is missing, damaged or does not
/// fit the configuration, if a weight cannot be stored in the wanted type, if the destination
/// exists (without `force`), or if it cannot be written.
pub fn convert(
    options: &Options,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, Error> {
    let config = ModelConfig::read(&options.from)?;
    let mut base = Source::open_base(&options.from)?;
    let mut adapters = Source::open_adapters(&options.from)?;
    let name = model_name(options, &config)?;

    let mut files = text::plan(options, &config, &name, &mut base)?;
    files.push(vision::plan(options, &config, &name, &mut base)?);
    files.push(adapters::plan_projector(
        options,
        &config,
        &name,
        &mut base,
        &mut adapters,
    )?);
    for task in &config.task_names {
        files.push(adapters::plan_adapter(
            options,
            &config,
            &name,
            task,
            &mut adapters,
        )?);
    }
    base.expect_all_used()?;
    adapters.expect_all_used()?;

    let destination = Destination::create(&options.to, options.force)?;
    let total_bytes = files.iter().map(FilePlan::n_bytes).sum();
    let mut done_bytes = 0;
    let mut written = Vec::with_capacity(files.len());
    for file in files {
        let path = file.path.clone();
        let mut report = |n_bytes: u64| {
            done_bytes += n_bytes;
            on_progress(Progress {
                file: &path,
                done_bytes,
                total_bytes,
            });
        };
        report(0);
        written.push(destination.write(file, &mut base, &mut adapters, &mut report)?);
    }
    let manifest = Manifest::new(
        name,
        source_name(&options.from, &config),
        manifest::licence(&options.from),
        ConfigSummary::of(&config),
        options.dtype,
        options.vision_dtype,
        written,
    );
    destination.finish(&manifest)?;
    Ok(manifest)
}

/// The last part of a path, if it has one that is text.
fn last_part(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
}

fn model_name(options: &Options, config: &ModelConfig) -> Result<String, Error> {
    let name = match &options.name {
        Some(name) => Some(name.clone()),
        None => config
            .name_or_path
            .as_deref()
            .and_then(|name| name.rsplit(['/', '\\']).find(|part| !part.is_empty()))
            .map(str::to_owned)
            .or_else(|| last_part(&options.from)),
    };
    // The name becomes part of the space id, whose parts are joined by slashes.
    match name {
        Some(name) if !name.trim().is_empty() && !name.contains(['/', '\\']) => Ok(name),
        found => Err(Error::BadName {
            found: found.unwrap_or_default(),
        }),
    }
}

/// A repository id where the configuration has one; never a path of this machine.
fn source_name(from: &Path, config: &ModelConfig) -> String {
    config
        .name_or_path
        .clone()
        .filter(|name| {
            !name.is_empty() && !name.starts_with(['/', '.', '~']) && !name.contains('\\')
        })
        .or_else(|| last_part(from))
        .unwrap_or_default()
}
