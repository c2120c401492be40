//! Sizes of the model from the metadata of its files, checked before they are computed with.

use crate::{
    Result,
    gguf::Metadata,
    model::{TextConfig, VisionConfig},
};

use super::Error;

/// Most tokens of one input where the file does not say: the reference's `max_length`.
const DEFAULT_MAX_LENGTH: u32 = 32_768;
/// Limits of the picture size where the file does not say: the published preprocessor's.
const DEFAULT_MIN_PIXELS: u32 = 3_136;
const DEFAULT_MAX_PIXELS: u32 = 602_112;
/// Side of an attention window where the file does not say: llama.cpp's files leave it out.
const DEFAULT_WINDOW_SIZE: u32 = 112;

/// Largest count that is believed: keeps products of sizes far from overflow.
const MAX_SIZE: usize = 1 << 24;

/// Reads one file's metadata with errors that name the file.
struct Reader<'a> {
    file: &'a str,
    metadata: &'a Metadata,
}

impl Reader<'_> {
    /// A size between 1 and [`MAX_SIZE`].
    fn size(&self, key: &str) -> Result<usize> {
        self.checked(key, self.metadata.u32(key)?)
    }

    fn size_or(&self, key: &str, default: u32) -> Result<usize> {
        self.checked(key, self.metadata.opt_u32(key)?.unwrap_or(default))
    }

    fn checked(&self, key: &str, value: u32) -> Result<usize> {
        let size = value as usize;
        self.require(
            size > 0 && size <= MAX_SIZE,
            key,
            "a size between 1 and 16,777,216",
            value,
        )?;
        Ok(size)
    }

    fn require(
        &self,
        holds: bool,
        key: &str,
        needed: impl Into<String>,
        found: impl ToString,
    ) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(Error::Inconsistent {
            file: self.file.to_string(),
            what: format!("`{key}`"),
            needed: needed.into(),
            found: found.to_string(),
        }
        .into())
    }

    /// A string that must be one the build computes.
    fn expect(&self, key: &str, needed: &str) -> Result<()> {
        let found = self.metadata.str(key)?;
        if found == needed {
            return Ok(());
        }
        Err(Error::Unsupported {
            file: self.file.to_string(),
            key: key.to_string(),
            needed: format!("`{needed}`"),
            found: format!("`{found}`"),
        }
        .into())
    }

    fn triple(&self, key: &str) -> Result<[f32; 3]> {
        let values = self.metadata.f32s(key)?;
        match values[..] {
            [a, b, c] if values.iter().all(|value| value.is_finite()) => Ok([a, b, c]),
            _ => {
                self.require(false, key, "three finite numbers", format!("{values:?}"))?;
                Ok([0.0; 3])
            }
        }
    }

    fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>> {
        let sizes = self.metadata.opt_u32s(key)?;
        Ok(sizes.map(|sizes| sizes.into_iter().map(|size| size as usize).collect()))
    }
}

/// The decoder's sizes, from a text file of architecture `qwen2vl`.
///
/// - `vocab_size`: rows of the token embedding, which the metadata does not state
pub fn text_config(file: &str, metadata: &Metadata, vocab_size: usize) -> Result<TextConfig> {
    let reader = Reader { file, metadata };
    reader.expect("general.architecture", "qwen2vl")?;
    let hidden_size = reader.size("qwen2vl.embedding_length")?;
    let num_attention_heads = reader.size("qwen2vl.attention.head_count")?;
    let num_key_value_heads = reader.size("qwen2vl.attention.head_count_kv")?;
    reader.require(
        num_attention_heads.is_multiple_of(num_key_value_heads),
        "qwen2vl.attention.head_count",
        format!("a multiple of the {num_key_value_heads} key/value heads"),
        num_attention_heads,
    )?;
    let head_dim = match metadata.opt_u32("qwen2vl.attention.key_length")? {
        Some(_) => reader.size("qwen2vl.attention.key_length")?,
        None => {
            reader.require(
                hidden_size.is_multiple_of(num_attention_heads),
                "qwen2vl.embedding_length",
                format!("a multiple of the {num_attention_heads} heads"),
                hidden_size,
            )?;
            hidden_size / num_attention_heads
        }
    };
    // llama.cpp writes four sections; the fourth belongs to an axis that pictures do not use.
    let key = "qwen2vl.rope.dimension_sections";
    let sections = reader.sizes(key)?.unwrap_or_default();
    let sum: usize = sections.iter().take(3).sum();
    reader.require(
        sections.len() >= 3 && sum * 2 == head_dim && sections[3..].iter().all(|n| *n == 0),
        key,
        format!("three sections that sum to {}", head_dim / 2),
        format!("{sections:?}"),
    )?;
    let rms_norm_eps = metadata.f32("qwen2vl.attention.layer_norm_rms_epsilon")?;
    let rope_theta = metadata.f32("qwen2vl.rope.freq_base")?;
    for (key, value) in [
        ("rms epsilon", rms_norm_eps),
        ("rope.freq_base", rope_theta),
    ] {
        reader.require(
            value.is_finite() && value > 0.0,
            key,
            "a positive number",
            value,
        )?;
    }
    let matryoshka_dims = match reader.sizes("jina.matryoshka_dims")? {
        Some(dims) => {
            reader.require(
                dims.windows(2).all(|pair| pair[0] < pair[1])
                    && dims.first().is_some_and(|dim| *dim > 0)
                    && dims.last() == Some(&hidden_size),
                "jina.matryoshka_dims",
                format!("ascending lengths that end with {hidden_size}"),
                format!("{dims:?}"),
            )?;
            dims
        }
        // Jina's own files do not hold them; the published ones are the halvings down to 128.
        None => {
            let mut dims: Vec<usize> =
                std::iter::successors(Some(hidden_size), |dim| Some(dim / 2))
                    .take(5)
                    .filter(|dim| *dim > 0)
                    .collect();
            dims.reverse();
            dims
        }
    };
    let context_length = reader.size("qwen2vl.context_length")?;
    let max_length = reader
        .size_or("jina.max_length", DEFAULT_MAX_LENGTH)?
        .min(context_length);
    Ok(TextConfig {
        hidden_size,
        num_hidden_layers: reader.size("qwen2vl.block_count")?,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        intermediate_size: reader.size("qwen2vl.feed_forward_length")?,
        rms_norm_eps: round_f32(rms_norm_eps),
        rope_theta: f64::from(rope_theta),
        mrope_section: [sections[0], sections[1], sections[2]],
        vocab_size,
        max_length,
        matryoshka_dims,
    })
}

/// The tower's sizes, from an mmproj file (`clip`, projector `qwen2.5vl_merger`).
pub fn vision_config(file: &str, metadata: &Metadata) -> Result<VisionConfig> {
    let reader = Reader { file, metadata };
    reader.expect("general.architecture", "clip")?;
    reader.expect("clip.projector_type", "qwen2.5vl_merger")?;
    let depth = reader.size("clip.vision.block_count")?;
    let hidden_size = reader.size("clip.vision.embedding_length")?;
    let num_heads = reader.size("clip.vision.attention.head_count")?;
    reader.require(
        hidden_size.is_multiple_of(num_heads) && (hidden_size / num_heads).is_multiple_of(4),
        "clip.vision.embedding_length",
        format!("a multiple of 4 x {num_heads} heads"),
        hidden_size,
    )?;
    let patch_size = reader.size("clip.vision.patch_size")?;
    let spatial_merge_size = reader.size_or("clip.vision.spatial_merge_size", 2)?;
    let window_size = reader.size_or("clip.vision.window_size", DEFAULT_WINDOW_SIZE)?;
    reader.require(
        window_size.is_multiple_of(patch_size.saturating_mul(spatial_merge_size)),
        "clip.vision.window_size",
        format!("a multiple of {patch_size} x {spatial_merge_size}"),
        window_size,
    )?;
    let fullatt_block_indexes = match reader.sizes("clip.vision.fullatt_block_indexes")? {
        Some(indexes) => indexes,
        None => {
            // llama.cpp: every n-th block attends over the whole picture.
            let n = reader.size("clip.vision.n_wa_pattern")?;
            (0..depth)
                .filter(|block| (block + 1).is_multiple_of(n))
                .collect()
        }
    };
    reader.require(
        fullatt_block_indexes.iter().all(|block| *block < depth),
        "clip.vision.fullatt_block_indexes",
        format!("blocks below {depth}"),
        format!("{fullatt_block_indexes:?}"),
    )?;
    let image_std = reader.triple("clip.vision.image_std")?;
    reader.require(
        image_std.iter().all(|value| *value > 0.0),
        "clip.vision.image_std",
        "positive numbers",
        format!("{image_std:?}"),
    )?;
    let min_pixels = reader.size_or("clip.vision.image_min_pixels", DEFAULT_MIN_PIXELS)?;
    let max_pixels = reader.size_or("clip.vision.image_max_pixels", DEFAULT_MAX_PIXELS)?;
    reader.require(
        min_pixels <= max_pixels,
        "clip.vision.image_min_pixels",
        format!("at most image_max_pixels, {max_pixels}"),
        min_pixels,
    )?;
    Ok(VisionConfig {
        depth,
        hidden_size,
        num_heads,
        intermediate_size: reader.size("clip.vision.feed_forward_length")?,
        out_hidden_size: reader.size("clip.vision.projection_dim")?,
        in_channels: 3,
        patch_size,
        temporal_patch_size: reader.size_or("clip.vision.temporal_patch_size", 2)?,
        spatial_merge_size,
        window_size,
        fullatt_block_indexes,
        rms_norm_eps: round_f32(metadata.f32("clip.vision.attention.layer_norm_epsilon")?),
        image_mean: reader.triple("clip.vision.image_mean")?,
        image_std,
        min_pixels,
        max_pixels,
    })
}

/// The decimal that an f32 was written from: 1e-6 and not 9.999999974752427e-7.
fn round_f32(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
