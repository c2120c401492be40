//! The task adapters in llama.cpp's form, and the multi-vector projector with its own adapters; or
//! one adapter merged into the matrices.
//!
//! The projector has a file of its own, because llama.cpp refuses an adapter file with a tensor
//! that its model does not have.

use super::Options;
use super::config::{AdapterConfig, ModelConfig};
use super::error::Error;
use super::manifest::Role;
use super::plan::{FilePlan, Origin, Planner, Sources, Update, general_metadata};
use super::text::{LINEARS, linear_shape};
use crate::text::Task;

const PROJECTOR: &str = "multi_vector_projector";

/// The adapter of a task that is added to the matrices: W + alpha / r B A.
pub(super) struct Merge {
    task: Task,
    adapter: AdapterConfig,
}

impl Merge {
    /// Fails if the model has no adapter of the task.
    pub fn new(config: &ModelConfig, adapter: &AdapterConfig, task: Task) -> Result<Merge, Error> {
        let names = &config.task_names;
        match names.iter().any(|name| name == task.as_str()) {
            true => Ok(Merge {
                task,
                adapter: adapter.clone(),
            }),
            false => Err(Error::BadTask {
                found: task.as_str().to_owned(),
                needed: format!("the model has adapters of {names:?}"),
            }),
        }
    }

    pub fn task(&self) -> Task {
        self.task
    }

    /// The update of a module whose weight is `[out, in]`.
    ///
    /// Fails unless both halves are there in their shapes.
    pub fn update(
        &self,
        sources: &Sources,
        module: &str,
        [rows, columns]: [usize; 2],
    ) -> Result<Update, Error> {
        let (task, r) = (&self.task, self.adapter.r);
        let update = Update {
            a: format!("{module}.lora_A.{task}.weight"),
            b: format!("{module}.lora_B.{task}.weight"),
            rank: r,
            scale: self.adapter.lora_alpha / r as f32,
        };
        let adapters = sources.of(Origin::Adapters);
        adapters.expect(&update.a, &[r, columns])?;
        adapters.expect(&update.b, &[rows, r])?;
        Ok(update)
    }
}

/// Marks the adapters of the other tasks as known, of which a merged model takes nothing.
pub(super) fn ignore_others(config: &ModelConfig, sources: &Sources, merged: &Merge) {
    let adapters = sources.of(Origin::Adapters);
    let layers = 0..config.text.num_hidden_layers;
    let modules =
        layers.flat_map(|layer| LINEARS.map(|(name, _)| format!("layers.{layer}.{name}")));
    for module in modules.chain([PROJECTOR.to_owned()]) {
        for task in config
            .task_names
            .iter()
            .filter(|task| *task != merged.task.as_str())
        {
            for letter in ["A", "B"] {
                adapters.ignore(&format!("{module}.lora_{letter}.{task}.weight"));
            }
        }
    }
}

/// Plans `adapter-<task>.gguf`: A `[r, in]` and B `[out, r]` for every matrix of every layer.
pub(super) fn plan_adapter(
    options: &Options,
    config: &ModelConfig,
    adapter: &AdapterConfig,
    name: &str,
    task: &str,
    sources: &Sources,
) -> Result<FilePlan, Error> {
    let r = adapter.r;
    let mut planner = Planner::new(sources, Origin::Adapters, options.dtype.small(), 0);
    for layer in 0..config.text.num_hidden_layers {
        for (source, name) in LINEARS {
            let [rows, columns] = linear_shape(config, source);
            let name = format!("blk.{layer}.{name}.weight");
            let source = format!("layers.{layer}.{source}");
            let (a, b) = (
                format!("{source}.lora_A.{task}.weight"),
                format!("{source}.lora_B.{task}.weight"),
            );
            planner.whole(format!("{name}.lora_a"), a, &[r, columns])?;
            planner.whole(format!("{name}.lora_b"), b, &[rows, r])?;
        }
    }
    let mut metadata = general_metadata("qwen2vl", "adapter", &format!("{name}-{task}"), None)?;
    metadata.insert("adapter.type", "lora")?;
    metadata.insert("adapter.lora.alpha", adapter.lora_alpha)?;
    metadata.insert("jina.task", task)?;
    let (path, task) = (format!("adapter-{task}.gguf"), Some(task.to_owned()));
    FilePlan::new(path, Role::Adapter, task, &metadata, planner.tensors)
}

/// Plans `projector.gguf`: weight `[dim, hidden]`, bias, and A and B of every task that is not
/// merged. `None` where the source, itself merged, has none.
pub(super) fn plan_projector(
    options: &Options,
    config: &ModelConfig,
    name: &str,
    sources: &Sources,
    merged: Option<&Merge>,
) -> Result<Option<FilePlan>, Error> {
    let weight = format!("{PROJECTOR}.weight");
    let is_merged_source = sources.adapters.is_none();
    if is_merged_source && !sources.base.has(&weight) {
        return Ok(None);
    }
    let dim = config.multi_vector_projector_dim;
    let shape = [dim, config.text.hidden_size];
    let small = options.dtype.small();
    let mut planner = Planner::new(sources, Origin::Base, small, 0);
    let of_weight = planner.whole(weight.clone(), weight, &shape)?;
    if let Some(merged) = merged {
        of_weight.update = Some(merged.update(sources, PROJECTOR, shape)?);
    }
    let bias = format!("{PROJECTOR}.bias");
    planner.whole(bias.clone(), bias, &[dim])?;
    let mut tensors = planner.tensors;
    let name = format!("{name}-projector");
    let mut metadata = general_metadata("jina-v4-projector", "model", &name, None)?;
    if let (Some(adapter), None) = (&config.adapter, merged) {
        let mut planner = Planner::new(sources, Origin::Adapters, small, 0);
        for task in &config.task_names {
            for (letter, shape) in [("A", [adapter.r, shape[1]]), ("B", [dim, adapter.r])] {
                let name = format!("{PROJECTOR}.lora_{}.{task}", letter.to_ascii_lowercase());
                let source = format!("{PROJECTOR}.lora_{letter}.{task}.weight");
                planner.whole(name, source, &shape)?;
            }
        }
        tensors.append(&mut planner.tensors);
        metadata.insert("jina.projector.lora.alpha", adapter.lora_alpha)?;
    }
    let path = "projector.gguf".to_owned();
    FilePlan::new(path, Role::Projector, None, &metadata, tensors).map(Some)
}
