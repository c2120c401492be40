//! The sizes of a model. Every one is read from the weight files; none is a constant here.

/// Sizes and constants of the text decoder (Qwen2.5-VL language model).
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Width of the residual stream and of the single vector.
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    /// `num_attention_heads` is a multiple of it; each key/value head serves that many query heads.
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// Rotary frequencies per position axis (time, height, width); they sum to `head_dim / 2`.
    pub mrope_section: [usize; 3],
    /// Rows of the token embedding, at least the number of tokens.
    pub vocab_size: usize,
    /// Most tokens of one input, prompt included.
    pub max_length: usize,
    /// Lengths a single vector may be cut to, ascending; the last is `hidden_size`.
    pub matryoshka_dims: Vec<usize>,
}

/// Sizes and constants of the vision tower and of the picture preprocessing before it.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub num_heads: usize,
    pub intermediate_size: usize,
    /// The decoder's `hidden_size`.
    pub out_hidden_size: usize,
    pub in_channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames per patch; a picture is repeated that often.
    pub temporal_patch_size: usize,
    /// Side of the square of patches that becomes one token of the decoder.
    pub spatial_merge_size: usize,
    /// Side of an attention window in pixels.
    pub window_size: usize,
    /// Blocks that attend over the whole picture, not within windows.
    pub fullatt_block_indexes: Vec<usize>,
    pub rms_norm_eps: f64,
    pub image_mean: [f32; 3],
    pub image_std: [f32; 3],
    /// Fewest pixels a picture is resized to.
    pub min_pixels: usize,
    /// Most pixels a picture is resized to, unless a call says otherwise.
    pub max_pixels: usize,
}

impl VisionConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Numbers in one patch: channels x frames x side x side.
    pub fn patch_elements(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches that are merged into one token of the decoder.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }

    /// Side of an attention window in merged units.
    pub fn window_units(&self) -> usize {
        self.window_size / self.patch_size / self.spatial_merge_size
    }
}
