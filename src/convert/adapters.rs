//! The task adapters in llama.cpp's form, and the multi-vector projector with its own adapters.
//!
//! The projector has a file of its own, because llama.cpp refuses an adapter file with a tensor
//! that its model does not have.

use super::Options;
use super::config::ModelConfig;
use super::error::Error;
use super::manifest::Role;
use super::plan::{FilePlan, Origin, Planner, general_metadata};
use super::source::Source;
use super::text::{LINEARS, linear_shape};

/// Plans `adapter-<task>.gguf`: A `[r, in]` and B `[out, r]` for every matrix of every layer.
pub(super) fn plan_adapter(
    options: &Options,
    config: &ModelConfig,
    name: &str,
    task: &str,
    adapters: &mut Source,
) -> Result<FilePlan, Error> {
    let (r, wanted) = (config.adapter.r, options.dtype.small());
    let mut planner = Planner::new(adapters, Origin::Adapters);
    for layer in 0..config.text.num_hidden_layers {
        for (source, name) in LINEARS {
            let [rows, columns] = linear_shape(config, source);
            let name = format!("blk.{layer}.{name}.weight");
            let source = format!("layers.{layer}.{source}");
            let (a, b) = (
                format!("{source}.lora_A.{task}.weight"),
                format!("{source}.lora_B.{task}.weight"),
            );
            planner.whole(format!("{name}.lora_a"), a, &[r, columns], wanted)?;
            planner.whole(format!("{name}.lora_b"), b, &[rows, r], wanted)?;
        }
    }
    let mut metadata = general_metadata("qwen2vl", "adapter", &format!("{name}-{task}"), None)?;
    metadata.insert("adapter.type", "lora")?;
    metadata.insert("adapter.lora.alpha", config.adapter.lora_alpha)?;
    metadata.insert("jina.task", task)?;
    let (path, task) = (format!("adapter-{task}.gguf"), Some(task.to_owned()));
    FilePlan::new(path, Role::Adapter, task, &metadata, planner.tensors)
}

/// Plans `projector.gguf`: weight `[dim, hidden]`, bias, and A and B of every task.
pub(super) fn plan_projector(
    options: &Options,
    config: &ModelConfig,
    name: &str,
    base: &mut Source,
    adapters: &mut Source,
) -> Result<FilePlan, Error> {
    let (hidden, dim) = (config.text.hidden_size, config.multi_vector_projector_dim);
    let (r, wanted) = (config.adapter.r, options.dtype.small());
    let module = "multi_vector_projector";
    let mut planner = Planner::new(base, Origin::Base);
    for (part, shape) in [("weight", &[dim, hidden][..]), ("bias", &[dim])] {
        let name = format!("{module}.{part}");
        planner.whole(name.clone(), name, shape, wanted)?;
    }
    let mut tensors = planner.tensors;
    let mut planner = Planner::new(adapters, Origin::Adapters);
    for task in &config.task_names {
        for (letter, shape) in [("A", [r, hidden]), ("B", [dim, r])] {
            let name = format!("{module}.lora_{}.{task}", letter.to_ascii_lowercase());
            planner.whole(
                name,
                format!("{module}.lora_{letter}.{task}.weight"),
                &shape,
                wanted,
            )?;
        }
    }
    tensors.append(&mut planner.tensors);
    let name = format!("{name}-projector");
    let mut metadata = general_metadata("jina-v4-projector", "model", &name, None)?;
    metadata.insert("jina.projector.lora.alpha", config.adapter.lora_alpha)?;
    FilePlan::new(
        "projector.gguf".to_owned(),
        Role::Projector,
        None,
        &metadata,
        tensors,
    )
}
