//! From published weights to a model directory of GGUF files.
//!
//! 1. Read the configuration and the headers of all files; plan every output tensor and check its
//!    source for presence and shape. Nothing has been written by then.
//! 2. Write the files one after another into `<DIR>.partial`: threads read pieces of a tensor,
//!    widen them to `f32` and encode them; one thread hashes and writes them in order.
//! 3. Write `model.json`, flush everything to disk, rename the directory to its final name.
//!
//! What is read:
//! - a Hugging Face directory as published, its adapters kept apart or one of them merged;
//! - one whose adapter is merged already, as Jina publishes for vLLM;
//! - a GGUF text file, with or without a vision tower (mmproj).
//!
//! A run that is interrupted anywhere leaves at most a `.partial` directory, which nothing reads
//! and from which the same command goes on. Memory is bounded by a few pieces for each thread,
//! whatever the model's size.

mod adapters;
mod bare;
mod config;
mod destination;
mod dtype;
mod encode;
mod error;
mod imatrix;
mod manifest;
mod pipeline;
mod plan;
mod source;
mod text;
mod tokenizer;
mod vision;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use destination::hash_of as hash_file;
pub use dtype::Dtype;
pub use error::Error;
pub use manifest::{ConfigSummary, Manifest, ManifestFile, NamedFile, Pieces, Role};

use crate::gguf::TensorType;
use crate::text::Task;
use adapters::Merge;
use config::ModelConfig;
use destination::Destination;
use encode::Encoder;
use imatrix::Importances;
use plan::{FilePlan, Sources, TensorPlan};
use source::Source;

/// What to convert, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// A directory as published (`config.json`, shards, `adapters/`, tokeniser), or a GGUF file.
    pub from: PathBuf,
    /// The vision tower, where `from` is a GGUF file.
    pub mmproj: Option<PathBuf>,
    /// The model directory to make.
    pub to: PathBuf,
    /// How the text model's matrices are stored.
    pub dtype: Dtype,
    /// How the vision tower's matrices are stored.
    pub vision_dtype: Dtype,
    /// How much each column of a matrix matters: a file of llama.cpp's `llama-imatrix`.
    pub imatrix: Option<PathBuf>,
    /// Merges the adapter of this task into the matrices; the others are left out.
    pub merge: Option<Task>,
    /// The task that is merged into the source, where no name says it.
    pub task: Option<Task>,
    /// The text model is cut into files of about this many bytes, at whole tensors.
    pub split_bytes: u64,
    /// The model's name; by default the last part of the name that `config.json` carries, else the
    /// source's.
    pub name: Option<String>,
    /// Replace a model directory that is there already.
    pub force: bool,
    /// Threads that encode; by default one for each that the machine runs at once.
    pub threads: Option<usize>,
}

impl Options {
    /// Files of 256 MB, adapters as they are in the source, nothing replaced.
    pub fn new(from: PathBuf, to: PathBuf, dtype: Dtype, vision_dtype: Dtype) -> Options {
        Options {
            from,
            mmproj: None,
            to,
            dtype,
            vision_dtype,
            imatrix: None,
            merge: None,
            task: None,
            split_bytes: 256_000_000,
            name: None,
            force: false,
            threads: None,
        }
    }
}

/// How far the writing has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file being written.
    pub file: &'a str,
    /// Bytes written so far, over all files.
    pub done_bytes: u64,
    /// Of these, what an earlier run had written.
    pub resumed_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
}

/// Everything that is known before anything is written.
struct Planned {
    files: Vec<FilePlan>,
    sources: Sources,
    name: String,
    source: String,
    licence: String,
    config: ConfigSummary,
    dtype: String,
    vision_dtype: String,
}

/// More threads than this only wait for the one that hashes and writes.
const MAX_THREADS: usize = 16;

/// Converts a model; returns what `model.json` says.
///
/// `on_progress` is called at the beginning of every file and after every piece; what is complete
/// is kept if it breaks off, and the same conversion goes on from there.
///
/// Fails, with nothing at `options.to` touched, if a source file is missing, damaged or does not
/// fit the configuration, if a weight cannot be stored in the wanted type, if the destination
/// exists (without `force`), or if it cannot be written.
pub fn convert(
    options: &Options,
    on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Manifest, Error> {
    let planned = match options.from.is_dir() {
        true => plan_directory(options)?,
        false => bare::plan(options)?,
    };
    let importances = options.imatrix.as_deref().map(Importances::read);
    let importances = importances.transpose()?;
    if let Some(importances) = &importances {
        importances.check(planned.files.iter().flat_map(|file| &file.tensors))?;
    }
    for source in planned.sources.iter() {
        source.expect_all_used()?;
    }
    let conversion = conversion(options, &planned)?;
    let mut destination = Destination::create(&options.to, options.force, conversion)?;
    match write(options, planned, importances, &mut destination, on_progress) {
        Ok(manifest) => {
            destination.finish(&manifest)?;
            Ok(manifest)
        }
        // Nothing is wrong with what is complete.
        Err(error @ (Error::Aborted | Error::Io { .. })) => {
            destination.keep();
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn write(
    options: &Options,
    planned: Planned,
    importances: Option<Importances>,
    destination: &mut Destination,
    on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Manifest, Error> {
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    let n_threads = options.threads.unwrap_or_else(available);
    let n_threads = n_threads.clamp(1, MAX_THREADS);
    let encoder = Encoder {
        sources: &planned.sources,
        importances: importances.as_ref(),
    };
    let total_bytes = planned.files.iter().map(FilePlan::n_bytes).sum();
    let (mut done_bytes, mut resumed_bytes) = (0, 0);
    let mut written = Vec::with_capacity(planned.files.len());
    for file in planned.files {
        let path = file.path.clone();
        let mut report = |n_bytes: u64, n_resumed: u64| {
            done_bytes += n_bytes;
            resumed_bytes += n_resumed;
            let progress = Progress {
                file: &path,
                done_bytes,
                resumed_bytes,
                total_bytes,
            };
            match on_progress(progress) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Aborted),
            }
        };
        report(0, 0)?;
        let completed = destination.completed(&file, &mut |n_bytes| report(n_bytes, n_bytes))?;
        written.push(match completed {
            Some(completed) => completed,
            None => {
                destination.write(file, &encoder, n_threads, &mut |n_bytes| report(n_bytes, 0))?
            }
        });
    }
    Ok(Manifest::new(
        planned.name,
        planned.source,
        planned.licence,
        planned.config,
        planned.dtype,
        planned.vision_dtype,
        written,
    ))
}

fn plan_directory(options: &Options) -> Result<Planned, Error> {
    let from = &options.from;
    let is_merged = !from.join("adapters").exists();
    let (merged_source, merge) = match is_merged {
        true => {
            let own_name = ModelConfig::name_or_path(from)?;
            let folder = last_part(from);
            let names = [own_name.as_deref(), folder.as_deref()];
            let names: Vec<_> = names.into_iter().flatten().collect();
            (Some(merged_task(options, &names)?), None)
        }
        false => (None, options.merge),
    };
    let config = ModelConfig::read(from, merged_source.map(Task::as_str))?;
    let base = Source::open_base(from)?;
    let adapters = match is_merged {
        true => None,
        false => Some(Source::open_adapters(from)?),
    };
    let sources = Sources {
        base,
        adapters,
        vision: None,
    };
    let merge = match (merge, &config.adapter) {
        (Some(task), Some(adapter)) => Some(Merge::new(&config, adapter, task)?),
        _ => None,
    };
    let name = options.name.clone().or_else(|| default_name(from, &config));
    let name = match merge.as_ref().map(Merge::task).or(merged_source) {
        Some(task) => merged_name(name.unwrap_or_default(), task)?,
        None => usable_name(name.unwrap_or_default())?,
    };

    let merged = merge.as_ref();
    let mut files = text::plan(options, &config, &name, &sources, merged)?;
    let dtype = stored_as(options.dtype, files.iter().flat_map(|file| &file.tensors));
    let vision = vision::plan(options, &config, &name, &sources)?;
    let vision_dtype = stored_as(options.vision_dtype, &vision.tensors);
    files.push(vision);
    let projector = adapters::plan_projector(options, &config, &name, &sources, merged)?;
    let mut summary = ConfigSummary::of(&config, projector.is_some());
    files.extend(projector);
    match (merged, &config.adapter) {
        (Some(merged), _) => {
            adapters::ignore_others(&config, &sources, merged);
            summary.tasks = vec![merged.task().as_str().to_owned()];
        }
        (None, Some(adapter)) => {
            for task in &config.task_names {
                files.push(adapters::plan_adapter(
                    options, &config, adapter, &name, task, &sources,
                )?);
            }
        }
        (None, None) => {}
    }
    Ok(Planned {
        files,
        sources,
        name,
        source: source_name(from, &config),
        licence: manifest::licence(from),
        config: summary,
        dtype,
        vision_dtype,
    })
}

/// The task that is merged into a source: the caller's word, or one of its names.
fn merged_task(options: &Options, names: &[&str]) -> Result<Task, Error> {
    let named = || names.iter().find_map(|name| Task::named_in(name));
    let task = options.task.or_else(named).ok_or(Error::TaskUnknown {
        path: options.from.clone(),
    })?;
    match options.merge {
        Some(merge) if merge != task => Err(Error::BadTask {
            found: merge.as_str().to_owned(),
            needed: format!("the source has no adapters, and {task} is merged into it"),
        }),
        _ => Ok(task),
    }
}

/// The name of a type choice; of the type that most bytes have where the source's are kept.
fn stored_as<'a>(dtype: Dtype, tensors: impl IntoIterator<Item = &'a TensorPlan>) -> String {
    if dtype != Dtype::Keep {
        return dtype.as_str().to_owned();
    }
    let mut n_bytes: BTreeMap<TensorType, u64> = BTreeMap::new();
    for tensor in tensors {
        let of_type = n_bytes.entry(tensor.spec.tensor_type).or_default();
        *of_type += tensor.spec.n_bytes().unwrap_or(0);
    }
    let most = n_bytes.into_iter().max_by_key(|(_, n_bytes)| *n_bytes);
    most.map_or_else(String::new, |(kind, _)| kind.name().to_lowercase())
}

/// What tells this conversion from any that would write other bytes.
fn conversion(options: &Options, planned: &Planned) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(env!("CARGO_PKG_VERSION"));
    for file in &planned.files {
        add(&file.path);
        add(&manifest::hex(&Sha256::digest(file.writer.header())));
        for tensor in &file.tensors {
            add(&format!("{tensor:?}"));
        }
    }
    for source in planned.sources.iter() {
        add(&source.stamp()?);
    }
    if let Some(path) = &options.imatrix {
        let (_, sha256) = destination::hash_of(path).map_err(Error::io(path))?;
        add(&sha256);
    }
    Ok(manifest::hex(&hash.finalize()))
}

/// The last part of a path, if it has one that is text.
fn last_part(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
}

fn default_name(from: &Path, config: &ModelConfig) -> Option<String> {
    config
        .name_or_path
        .as_deref()
        .and_then(|name| name.rsplit(['/', '\\']).find(|part| !part.is_empty()))
        .map(str::to_owned)
        .or_else(|| last_part(from))
}

fn usable_name(name: String) -> Result<String, Error> {
    // The name becomes part of the space id, whose parts are joined by slashes.
    match !name.trim().is_empty() && !name.contains(['/', '\\']) {
        true => Ok(name),
        false => Err(Error::BadName { found: name }),
    }
}

/// A name from which a reader learns the task.
fn merged_name(name: String, task: Task) -> Result<String, Error> {
    let name = usable_name(name)?;
    match Task::named_in(&name) == Some(task) {
        true => Ok(name),
        false => Ok(format!("{name}-{task}")),
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
