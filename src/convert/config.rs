//! What `config.json`, `preprocessor_config.json` and `adapters/adapter_config.json` say.
//!
//! The published `config.json` repeats the text model's fields at top level; `text_config` wins.

use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use super::error::Error;

/// Everything that the conversion needs to know of a model.
#[derive(Debug, Clone)]
pub(super) struct ModelConfig {
    pub name_or_path: Option<String>,
    pub text: TextConfig,
    pub vision: VisionConfig,
    pub preprocessor: PreprocessorConfig,
    /// Absent where the adapter of the one task is merged into the matrices.
    pub adapter: Option<AdapterConfig>,
    pub multi_vector_projector_dim: usize,
    pub matryoshka_dims: Vec<usize>,
    pub task_names: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct TextConfig {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub intermediate_size: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f32,
    pub rope_theta: f32,
    pub rope_scaling: RopeScaling,
    pub bos_token_id: u32,
    pub eos_token_id: u32,
    hidden_act: String,
    tie_word_embeddings: bool,
    #[serde(default)]
    use_sliding_window: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RopeScaling {
    /// How many frequencies belong to time, height and width.
    pub mrope_section: [usize; 3],
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub num_heads: usize,
    pub intermediate_size: usize,
    pub out_hidden_size: usize,
    pub in_channels: usize,
    pub patch_size: usize,
    pub temporal_patch_size: usize,
    pub spatial_merge_size: usize,
    pub window_size: usize,
    pub fullatt_block_indexes: Vec<usize>,
    hidden_act: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct PreprocessorConfig {
    pub image_mean: [f32; 3],
    pub image_std: [f32; 3],
    pub min_pixels: usize,
    pub max_pixels: usize,
    patch_size: usize,
    merge_size: usize,
    temporal_patch_size: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct AdapterConfig {
    pub r: usize,
    pub lora_alpha: f32,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
}

/// The fields of the top level that no part repeats.
#[derive(Deserialize)]
struct TopLevel {
    #[serde(rename = "_name_or_path")]
    name_or_path: Option<String>,
    architectures: Vec<String>,
    vision_config: VisionConfig,
    multi_vector_projector_dim: Option<usize>,
    matryoshka_dims: Option<Vec<usize>>,
    task_names: Option<Vec<String>>,
}

/// Width of one vector of a published multi-vector.
const PROJECTOR_DIM: usize = 128;

impl TopLevel {
    /// Fills in what a merged directory, whose configuration is that of the model below, lacks.
    fn complete(&mut self, merged: Option<&str>, text: &TextConfig) {
        let Some(task) = merged else { return };
        self.multi_vector_projector_dim.get_or_insert(PROJECTOR_DIM);
        self.task_names = Some(vec![task.to_owned()]);
        let hidden = text.hidden_size;
        self.matryoshka_dims
            .get_or_insert_with(|| matryoshka_dims(hidden));
    }
}

/// The widths to which a vector of a model that names none may be cut: as published, halved four
/// times.
pub(super) fn matryoshka_dims(hidden_size: usize) -> Vec<usize> {
    let halved = std::iter::successors(Some(hidden_size), |dim| Some(dim / 2));
    let mut dims: Vec<_> = halved.take(5).filter(|dim| *dim > 0).collect();
    dims.reverse();
    dims
}

impl TextConfig {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

impl ModelConfig {
    /// What `config.json` calls the model, if it does.
    pub fn name_or_path(from: &Path) -> Result<Option<String>, Error> {
        let root: Map<String, Value> = read_json(&from.join("config.json"))?;
        let name = root.get("_name_or_path").and_then(Value::as_str);
        Ok(name.map(str::to_owned))
    }

    /// Reads and checks the files of a directory.
    ///
    /// - `merged`: the task whose adapter is merged into the matrices; then there is no
    ///   configuration of adapters, and that of the model may be Qwen2.5-VL's own
    pub fn read(from: &Path, merged: Option<&str>) -> Result<ModelConfig, Error> {
        let path = from.join("config.json");
        let root: Map<String, Value> = read_json(&path)?;
        let mut text = root.clone();
        if let Some(Value::Object(own)) = root.get("text_config") {
            let set = own.iter().filter(|(_, value)| !value.is_null());
            text.extend(set.map(|(key, value)| (key.clone(), value.clone())));
        }
        let json = |source| Error::Json {
            path: path.clone(),
            source,
        };
        let text: TextConfig = serde_json::from_value(Value::Object(text)).map_err(json)?;
        let mut top: TopLevel = serde_json::from_value(Value::Object(root)).map_err(json)?;
        top.complete(merged, &text);
        let known = |name: &String| {
            name == "JinaEmbeddingsV4Model" || (merged.is_some() && name.starts_with("Qwen2_5_VL"))
        };
        if !top.architectures.iter().any(known) {
            let found = format!("{:?}", top.architectures);
            return Err(unsupported(
                &path,
                "architectures",
                "JinaEmbeddingsV4Model",
                &found,
            ));
        }
        let missing = |field| json(serde_json::Error::missing_field(field));
        let needed = "multi_vector_projector_dim";
        let dim = top.multi_vector_projector_dim.ok_or(missing(needed))?;
        let dims = top.matryoshka_dims.ok_or(missing("matryoshka_dims"))?;
        let task_names = top.task_names.ok_or(missing("task_names"))?;
        check_text(&path, &text)?;
        check_vision(&path, &top.vision_config, &text)?;
        check_dims(&path, dim, &dims, &task_names, &text)?;

        let preprocessor_path = from.join("preprocessor_config.json");
        let preprocessor: PreprocessorConfig = read_json(&preprocessor_path)?;
        check_preprocessor(&preprocessor_path, &preprocessor, &top.vision_config)?;
        let adapter = match merged {
            Some(_) => None,
            None => {
                let path = from.join("adapters/adapter_config.json");
                let adapter: AdapterConfig = read_json(&path)?;
                check_adapter(&path, &adapter)?;
                Some(adapter)
            }
        };
        Ok(ModelConfig {
            name_or_path: top.name_or_path,
            text,
            vision: top.vision_config,
            preprocessor,
            adapter,
            multi_vector_projector_dim: dim,
            matryoshka_dims: dims,
            task_names,
        })
    }
}

/// Reads a JSON file as `T`.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

fn bad(path: &Path, field: &str, needed: &str, found: impl std::fmt::Debug) -> Error {
    Error::BadField {
        path: path.to_owned(),
        field: field.to_owned(),
        needed: needed.to_owned(),
        found: format!("{found:?}"),
    }
}

fn unsupported(path: &Path, field: &str, needed: &str, found: &str) -> Error {
    Error::UnsupportedField {
        path: path.to_owned(),
        field: field.to_owned(),
        needed: needed.to_owned(),
        found: found.to_owned(),
    }
}

/// Sizes end up as `u32` keys and in products of two or three; this bound keeps both in range.
const MAX_SIZE: usize = 1 << 20;

fn check_sizes(path: &Path, sizes: &[(&str, usize)]) -> Result<(), Error> {
    match sizes
        .iter()
        .find(|(_, size)| !(1..=MAX_SIZE).contains(size))
    {
        Some((field, found)) => Err(bad(path, field, "between 1 and 1048576", found)),
        None => Ok(()),
    }
}

fn check_text(path: &Path, text: &TextConfig) -> Result<(), Error> {
    check_sizes(
        path,
        &[
            ("hidden_size", text.hidden_size),
            ("num_hidden_layers", text.num_hidden_layers),
            ("num_attention_heads", text.num_attention_heads),
            ("num_key_value_heads", text.num_key_value_heads),
            ("intermediate_size", text.intermediate_size),
            ("vocab_size", text.vocab_size),
            ("max_position_embeddings", text.max_position_embeddings),
        ],
    )?;
    if text.hidden_act != "silu" {
        return Err(unsupported(path, "hidden_act", "silu", &text.hidden_act));
    }
    if !text.tie_word_embeddings {
        return Err(unsupported(path, "tie_word_embeddings", "true", "false"));
    }
    if text.use_sliding_window {
        return Err(unsupported(path, "use_sliding_window", "false", "true"));
    }
    if !text.hidden_size.is_multiple_of(text.num_attention_heads) {
        return Err(bad(
            path,
            "num_attention_heads",
            "a divisor of hidden_size",
            text.num_attention_heads,
        ));
    }
    if !text
        .num_attention_heads
        .is_multiple_of(text.num_key_value_heads)
    {
        return Err(bad(
            path,
            "num_key_value_heads",
            "a divisor of num_attention_heads",
            text.num_key_value_heads,
        ));
    }
    let sections = text.rope_scaling.mrope_section;
    let sum = sections
        .iter()
        .try_fold(0_usize, |sum, n| sum.checked_add(*n));
    if sum.and_then(|sum| sum.checked_mul(2)) != Some(text.head_dim()) {
        return Err(bad(
            path,
            "mrope_section",
            "half the head width in sum",
            sections,
        ));
    }
    if !(text.rms_norm_eps > 0.0 && text.rms_norm_eps.is_finite()) {
        return Err(bad(
            path,
            "rms_norm_eps",
            "a positive number",
            text.rms_norm_eps,
        ));
    }
    if !(text.rope_theta > 0.0 && text.rope_theta.is_finite()) {
        return Err(bad(
            path,
            "rope_theta",
            "a positive number",
            text.rope_theta,
        ));
    }
    Ok(())
}

fn check_vision(path: &Path, vision: &VisionConfig, text: &TextConfig) -> Result<(), Error> {
    check_sizes(
        path,
        &[
            ("vision_config.depth", vision.depth),
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.num_heads", vision.num_heads),
            ("vision_config.intermediate_size", vision.intermediate_size),
            ("vision_config.patch_size", vision.patch_size),
            (
                "vision_config.spatial_merge_size",
                vision.spatial_merge_size,
            ),
            ("vision_config.window_size", vision.window_size),
        ],
    )?;
    if vision.hidden_act != "silu" {
        return Err(unsupported(
            path,
            "vision_config.hidden_act",
            "silu",
            &vision.hidden_act,
        ));
    }
    if vision.in_channels != 3 {
        return Err(unsupported(
            path,
            "vision_config.in_channels",
            "3",
            &vision.in_channels.to_string(),
        ));
    }
    // llama.cpp's two kernels `patch_embd.weight` and `.weight.1` are the two moments of a patch.
    if vision.temporal_patch_size != 2 {
        let found = vision.temporal_patch_size.to_string();
        return Err(unsupported(
            path,
            "vision_config.temporal_patch_size",
            "2",
            &found,
        ));
    }
    if !vision.hidden_size.is_multiple_of(vision.num_heads) {
        return Err(bad(
            path,
            "vision_config.num_heads",
            "a divisor of hidden_size",
            vision.num_heads,
        ));
    }
    if vision.out_hidden_size != text.hidden_size {
        let needed = format!("the text model's hidden_size {}", text.hidden_size);
        return Err(bad(
            path,
            "vision_config.out_hidden_size",
            &needed,
            vision.out_hidden_size,
        ));
    }
    if vision
        .fullatt_block_indexes
        .iter()
        .any(|index| *index >= vision.depth)
    {
        let needed = format!("below the depth {}", vision.depth);
        return Err(bad(
            path,
            "vision_config.fullatt_block_indexes",
            &needed,
            &vision.fullatt_block_indexes,
        ));
    }
    Ok(())
}

fn check_dims(
    path: &Path,
    projector_dim: usize,
    dims: &[usize],
    task_names: &[String],
    text: &TextConfig,
) -> Result<(), Error> {
    check_sizes(path, &[("multi_vector_projector_dim", projector_dim)])?;
    if dims.is_empty() || dims.iter().any(|dim| !(1..=text.hidden_size).contains(dim)) {
        let needed = format!("a list of numbers from 1 to {}", text.hidden_size);
        return Err(bad(path, "matryoshka_dims", &needed, dims));
    }
    // Names become parts of file names and of tensor names.
    let usable = |name: &String| {
        (1..=20).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut unique = task_names.to_vec();
    unique.sort();
    unique.dedup();
    if unique.is_empty() || unique.len() != task_names.len() || !unique.iter().all(usable) {
        let needed = "a list of different names of at most 20 letters, digits, - or _";
        return Err(bad(path, "task_names", needed, task_names));
    }
    Ok(())
}

fn check_preprocessor(
    path: &Path,
    preprocessor: &PreprocessorConfig,
    vision: &VisionConfig,
) -> Result<(), Error> {
    for (field, found, needed) in [
        ("patch_size", preprocessor.patch_size, vision.patch_size),
        (
            "merge_size",
            preprocessor.merge_size,
            vision.spatial_merge_size,
        ),
        (
            "temporal_patch_size",
            preprocessor.temporal_patch_size,
            vision.temporal_patch_size,
        ),
    ] {
        if found != needed {
            return Err(bad(
                path,
                field,
                &format!("{needed} as in config.json"),
                found,
            ));
        }
    }
    let (min, max) = (preprocessor.min_pixels, preprocessor.max_pixels);
    if min == 0 || min > max || u32::try_from(max).is_err() {
        return Err(bad(
            path,
            "max_pixels",
            &format!("at least min_pixels {min}, itself at least 1"),
            max,
        ));
    }
    if preprocessor
        .image_std
        .iter()
        .any(|std| !(*std > 0.0 && std.is_finite()))
    {
        return Err(bad(
            path,
            "image_std",
            "three positive numbers",
            preprocessor.image_std,
        ));
    }
    Ok(())
}

fn check_adapter(path: &Path, adapter: &AdapterConfig) -> Result<(), Error> {
    check_sizes(path, &[("r", adapter.r)])?;
    if !(adapter.lora_alpha > 0.0 && adapter.lora_alpha.is_finite()) {
        return Err(bad(
            path,
            "lora_alpha",
            "a positive number",
            adapter.lora_alpha,
        ));
    }
    for (field, found) in [
        ("use_rslora", adapter.use_rslora),
        ("use_dora", adapter.use_dora),
    ] {
        if found {
            return Err(unsupported(path, field, "false", "true"));
        }
    }
    Ok(())
}
