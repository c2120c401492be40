//! The vision tower: architecture `clip`, projector `qwen2.5vl_merger`, llama.cpp's names.
//!
//! `qkv` becomes three matrices, and the patch kernel of two moments becomes two kernels.

use super::Options;
use super::config::{ModelConfig, VisionConfig};
use super::error::Error;
use super::manifest::Role;
use super::plan::{FilePlan, Origin, Planner, Runs, Sources, general_metadata};
use crate::gguf::{Metadata, TensorSpec, TensorType};

/// The reference builds every norm of the tower with this; no configuration file names it.
const RMS_NORM_EPS: f32 = 1e-6;

/// llama.cpp wants an image size for its warm-up; sizes are dynamic, and this is its own default.
const IMAGE_SIZE: u32 = 560;

/// Plans the file of the vision tower.
pub(super) fn plan(
    options: &Options,
    config: &ModelConfig,
    name: &str,
    sources: &Sources,
) -> Result<FilePlan, Error> {
    let vision = &config.vision;
    let mut planner = Planner::new(sources, Origin::Base, options.vision_dtype, vision.depth);
    plan_patch_kernels(&mut planner, vision)?;
    for block in 0..vision.depth {
        plan_block(&mut planner, vision, block)?;
    }
    let (hidden, out) = (vision.hidden_size, vision.out_hidden_size);
    let merged = hidden * vision.spatial_merge_size * vision.spatial_merge_size;
    let mut whole = |name: &str, source: &str, shape: &[usize]| {
        let source = format!("visual.merger.{source}");
        planner.whole(name.to_owned(), source, shape).map(|_| ())
    };
    whole("v.post_ln.weight", "ln_q.weight", &[hidden])?;
    whole("mm.0.weight", "mlp.0.weight", &[merged, merged])?;
    whole("mm.0.bias", "mlp.0.bias", &[merged])?;
    whole("mm.2.weight", "mlp.2.weight", &[out, merged])?;
    whole("mm.2.bias", "mlp.2.bias", &[out])?;
    let (metadata, tensors) = (metadata(options, config, name)?, planner.tensors);
    FilePlan::new(
        "vision.gguf".to_owned(),
        Role::Vision,
        None,
        &metadata,
        tensors,
    )
}

/// The kernel `[hidden, 3, 2, patch, patch]` as one `[hidden, 3, patch, patch]` per moment.
fn plan_patch_kernels(planner: &mut Planner, vision: &VisionConfig) -> Result<(), Error> {
    let (hidden, patch) = (vision.hidden_size, vision.patch_size);
    let (channels, moments) = (vision.in_channels, vision.temporal_patch_size);
    let source = "visual.patch_embed.proj.weight";
    let shape = [hidden, channels, moments, patch, patch];
    let source_type = planner.source.expect(source, &shape)?;
    let run = patch * patch;
    for (moment, name) in ["v.patch_embd.weight", "v.patch_embd.weight.1"]
        .into_iter()
        .enumerate()
    {
        let runs = Runs {
            first: moment * run,
            run,
            step: moments * run,
            count: hidden * channels,
        };
        let spec = TensorSpec {
            name: name.to_owned(),
            shape: vec![hidden, channels, patch, patch],
            tensor_type: TensorType::F32,
        };
        planner.push(spec, source.to_owned(), source_type, runs);
    }
    Ok(())
}

fn plan_block(planner: &mut Planner, vision: &VisionConfig, block: usize) -> Result<(), Error> {
    let (hidden, mlp) = (vision.hidden_size, vision.intermediate_size);
    let (to, from) = (format!("v.blk.{block}"), format!("visual.blocks.{block}"));
    planner.whole(
        format!("{to}.ln1.weight"),
        format!("{from}.norm1.weight"),
        &[hidden],
    )?;
    let (weight, bias) = (
        format!("{from}.attn.qkv.weight"),
        format!("{from}.attn.qkv.bias"),
    );
    let weight_type = planner.source.expect(&weight, &[3 * hidden, hidden])?;
    let bias_type = planner.source.expect(&bias, &[3 * hidden])?;
    for (third, letter) in ["q", "k", "v"].into_iter().enumerate() {
        let (n_weight, n_bias) = (hidden * hidden, hidden);
        let name = format!("{to}.attn_{letter}");
        let runs = Runs::one(third * n_weight, n_weight);
        let source = (weight.as_str(), weight_type);
        planner.part(format!("{name}.weight"), source, &[hidden, hidden], runs);
        let runs = Runs::one(third * n_bias, n_bias);
        let source = (bias.as_str(), bias_type);
        planner.part(format!("{name}.bias"), source, &[hidden], runs);
    }
    let mut linear = |name: &str, source: &str, shape: [usize; 2]| {
        let (name, source) = (format!("{to}.{name}"), format!("{from}.{source}"));
        planner.whole(format!("{name}.weight"), format!("{source}.weight"), &shape)?;
        let (name, source) = (format!("{name}.bias"), format!("{source}.bias"));
        planner.whole(name, source, &shape[..1]).map(|_| ())
    };
    linear("attn_out", "attn.proj", [hidden, hidden])?;
    linear("ffn_gate", "mlp.gate_proj", [mlp, hidden])?;
    linear("ffn_up", "mlp.up_proj", [mlp, hidden])?;
    linear("ffn_down", "mlp.down_proj", [hidden, mlp])?;
    planner.whole(
        format!("{to}.ln2.weight"),
        format!("{from}.norm2.weight"),
        &[hidden],
    )?;
    Ok(())
}

fn metadata(options: &Options, config: &ModelConfig, name: &str) -> Result<Metadata, Error> {
    let (vision, images) = (&config.vision, &config.preprocessor);
    let name = format!("{name}-vision");
    let mut metadata = general_metadata("clip", "mmproj", &name, options.vision_dtype.file_type())?;
    metadata.insert("clip.has_vision_encoder", true)?;
    metadata.insert("clip.projector_type", "qwen2.5vl_merger")?;
    metadata.insert("clip.use_silu", true)?;
    metadata.insert("clip.vision.image_size", IMAGE_SIZE)?;
    // Sizes are at most 2^20, and pixel counts fit by the checks of the configuration.
    let mut size = |key: &str, size: usize| metadata.insert(key, size as u32);
    size("clip.vision.projection_dim", vision.out_hidden_size)?;
    size("clip.vision.patch_size", vision.patch_size)?;
    size(
        "clip.vision.temporal_patch_size",
        vision.temporal_patch_size,
    )?;
    size("clip.vision.spatial_merge_size", vision.spatial_merge_size)?;
    size("clip.vision.window_size", vision.window_size)?;
    size("clip.vision.embedding_length", vision.hidden_size)?;
    size("clip.vision.feed_forward_length", vision.intermediate_size)?;
    size("clip.vision.block_count", vision.depth)?;
    size("clip.vision.attention.head_count", vision.num_heads)?;
    size("clip.vision.image_min_pixels", images.min_pixels)?;
    size("clip.vision.image_max_pixels", images.max_pixels)?;
    if let Some(pattern) = window_pattern(&vision.fullatt_block_indexes) {
        size("clip.vision.n_wa_pattern", pattern)?;
    }
    let full: Vec<i32> = vision
        .fullatt_block_indexes
        .iter()
        .map(|index| *index as i32)
        .collect();
    metadata.insert("clip.vision.fullatt_block_indexes", full)?;
    metadata.insert("clip.vision.image_mean", images.image_mean.to_vec())?;
    metadata.insert("clip.vision.image_std", images.image_std.to_vec())?;
    metadata.insert("clip.vision.attention.layer_norm_epsilon", RMS_NORM_EPS)?;
    Ok(metadata)
}

/// llama.cpp knows only "every n-th block has full attention"; `None` if that does not describe it.
fn window_pattern(full: &[usize]) -> Option<usize> {
    let pattern = full.first()? + 1;
    full.iter()
        .enumerate()
        .all(|(at, index)| *index == (at + 1) * pattern - 1)
        .then_some(pattern)
}
