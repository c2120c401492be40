//! GGUF files as others publish them, made into a model directory: cut, hashed, and in the types
//! that are asked for.
//!
//! Names and keys stay as they are. Only the vocabulary head is left out, which no embedding uses.

use std::path::Path;

use super::error::Error;
use super::manifest::{ConfigSummary, Role};
use super::plan::{FilePlan, Origin, Planner, Runs, Sources, TensorPlan, text_files};
use super::source::GgufSource;
use super::{Dtype, Options, Planned, last_part, merged_name, merged_task, stored_as};
use crate::gguf::{Metadata, TensorInfo, TensorSpec};

const HEAD: &str = "output.weight";

/// Plans the directory of a text file and, where the options name one, a vision tower.
pub(super) fn plan(options: &Options) -> Result<Planned, Error> {
    let text = GgufSource::open(&options.from)?;
    expect(&options.from, &text, "general.architecture", "qwen2vl")?;
    let own_name = text.metadata.opt_str("general.name")?.map(str::to_owned);
    let stem = last_part(&options.from).unwrap_or_default();
    let source_name = own_name.unwrap_or_else(|| stem.trim_end_matches(".gguf").to_owned());
    let task = merged_task(options, &[&source_name, &stem])?;
    let name = merged_name(options.name.clone().unwrap_or(source_name.clone()), task)?;
    let vision = options.mmproj.as_deref().map(open_vision).transpose()?;

    let n_layers = text.metadata.u32("qwen2vl.block_count")? as usize;
    let config = summary(&text.metadata, vision.as_ref(), task.as_str(), n_layers)?;
    let licence = text.metadata.opt_str("general.license")?;
    let licence = licence.unwrap_or("unknown").to_owned();
    let text_keys = keys(&text.metadata, &name, options.dtype)?;
    let (vision_source, vision_keys, vision_table) = match vision {
        Some(vision) => {
            let name = format!("{name}-vision");
            let keys = keys(&vision.metadata, &name, options.vision_dtype)?;
            (Some(vision.source), keys, vision.tensors)
        }
        None => (None, Metadata::new(), Vec::new()),
    };
    let sources = Sources {
        base: text.source,
        adapters: None,
        vision: vision_source,
    };
    sources.base.ignore(HEAD);
    let text_tensors: Vec<_> = text
        .tensors
        .iter()
        .filter(|tensor| tensor.name != HEAD)
        .collect();
    let mut planner = Planner::new(&sources, Origin::Base, options.dtype, n_layers);
    let tensors = all(&mut planner, text_tensors)?;
    let dtype = stored_as(options.dtype, &tensors);
    let mut files = text_files(options, text_keys, tensors)?;
    let mut vision_dtype = "none".to_owned();
    if sources.vision.is_some() {
        let depth = config.vision_depth;
        let mut planner = Planner::new(&sources, Origin::Vision, options.vision_dtype, depth);
        let tensors = all(&mut planner, vision_table.iter().collect())?;
        vision_dtype = stored_as(options.vision_dtype, &tensors);
        let path = "vision.gguf".to_owned();
        files.push(FilePlan::new(
            path,
            Role::Vision,
            None,
            &vision_keys,
            tensors,
        )?);
    }
    Ok(Planned {
        files,
        sources,
        name,
        source: source_name,
        licence,
        config,
        dtype,
        vision_dtype,
    })
}

fn open_vision(path: &Path) -> Result<GgufSource, Error> {
    let vision = GgufSource::open(path)?;
    expect(path, &vision, "general.architecture", "clip")?;
    expect(path, &vision, "clip.projector_type", "qwen2.5vl_merger")?;
    Ok(vision)
}

fn expect(path: &Path, source: &GgufSource, key: &str, needed: &str) -> Result<(), Error> {
    let found = source.metadata.opt_str(key)?;
    match found == Some(needed) {
        true => Ok(()),
        false => Err(Error::OtherModel {
            path: path.to_owned(),
            key: key.to_owned(),
            needed: format!("{needed:?}"),
            found: found.map_or("absent".to_owned(), |found| format!("{found:?}")),
        }),
    }
}

/// The keys of a file, but for those that its new form gives it.
fn keys(source: &Metadata, name: &str, dtype: Dtype) -> Result<Metadata, Error> {
    let mut metadata = Metadata::new();
    for (key, value) in source.iter() {
        match (key, dtype.file_type()) {
            ("general.name", _) => {}
            ("general.file_type", Some(file_type)) => metadata.insert(key, file_type)?,
            (key, _) if key.starts_with("split.") => {}
            (key, _) => metadata.insert(key, value.clone())?,
        }
    }
    metadata.insert("general.name", name)?;
    Ok(metadata)
}

fn all(planner: &mut Planner, tensors: Vec<&TensorInfo>) -> Result<Vec<TensorPlan>, Error> {
    for tensor in tensors {
        // Some writers cut the patch kernels into matrices; they are small, and pixels' first step.
        match tensor.name.starts_with("v.patch_embd.weight") {
            true => {
                let source_type = planner.source.expect(&tensor.name, &tensor.shape)?;
                let spec = TensorSpec {
                    name: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                    tensor_type: source_type,
                };
                let runs = Runs::one(0, tensor.n_elements());
                planner.push(spec, tensor.name.clone(), source_type, runs);
            }
            false => {
                planner.whole(tensor.name.clone(), tensor.name.clone(), &tensor.shape)?;
            }
        }
    }
    Ok(std::mem::take(&mut planner.tensors))
}

fn summary(
    text: &Metadata,
    vision: Option<&GgufSource>,
    task: &str,
    n_layers: usize,
) -> Result<ConfigSummary, Error> {
    let hidden = text.u32("qwen2vl.embedding_length")? as usize;
    let dims = text.opt_u32s("jina.matryoshka_dims")?;
    let depth = match vision {
        Some(vision) => vision.metadata.u32("clip.vision.block_count")?,
        None => 0,
    };
    Ok(ConfigSummary {
        hidden_size: hidden,
        num_hidden_layers: n_layers,
        matryoshka_dims: match dims {
            Some(dims) => dims.into_iter().map(|dim| dim as usize).collect(),
            None => super::config::matryoshka_dims(hidden),
        },
        multi_vector_projector_dim: 0,
        tasks: vec![task.to_owned()],
        vision_depth: depth as usize,
    })
}
