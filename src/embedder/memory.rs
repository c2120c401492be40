//! What encoding takes on the graphics device beside the weights, stated before it begins.
//!
//! ```text
//! stage of M rows:  FIXED + M * (4 (W + C) + 2 Q) * 4 bytes + min(M, 1024) * (5/4 I + 2 W) * 4 bytes
//!                   + min(8 M (W + C), 2^22) * 4 bytes
//! a text:           the decoder's stage
//! a picture:        the tower's stage and then the decoder's
//! ```
//!
//! Letters: M = tokens or patches, W = width of the residual stream, C = low-rank coordinates that
//! the norm carries, Q = width of queries, keys and values, I = width of the MLP, of which
//! [`Mlp::ROWS_AT_ONCE`] rows exist at a time.
//!
//! Four streams live at once at most (the sum, its norm, a product, and the joined chunks of the
//! MLP), with queries, keys and values at most two more of their width. A product that joins the
//! stream may come in slices ([`kernels::MAX_SLICED_VALUES`]). The rest of the statement is for the pools, which keep a page of another size until the input is done;
//! `tests/gpu_memory.rs` and `tests/browser/memory.spec.ts` count what is really held against it.

use crate::{
    Code, Device, Error, Result,
    device::Kind,
    kernels::{self, LowRank},
    model::{Decoder, Linear, Mlp, VisionTower},
};

/// Read-backs, the numbers of launches, and pages of the smallest size.
const FIXED_BYTES: u64 = 24 << 20;

/// Number of bytes of one value.
const VALUE: u64 = size_of::<f32>() as u64;

/// A stack of layers over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stage {
    /// For each row.
    row_bytes: u64,
    /// For each row of those that the MLP computes at once.
    mlp_row_bytes: u64,
    /// For each row of a product that joins the stream, if it comes in as many slices as there are.
    sliced_row_bytes: u64,
    /// Widest tensor with a row for each row, in bytes of a row.
    widest_row_bytes: u64,
}

/// The memory of encoding on one device, as a function of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scratch {
    text: Stage,
    vision: Option<Stage>,
    /// Bytes that may be used beside the weights; none where nobody said.
    limit: Option<u64>,
    max_binding_bytes: u64,
    max_length: usize,
}

impl Stage {
    fn new(stream: usize, coordinates: usize, qkv: usize, mlp: usize) -> Self {
        let [stream, coordinates, qkv, mlp] =
            [stream, coordinates, qkv, mlp].map(|width| width as u64);
        Self {
            row_bytes: VALUE * (4 * (stream + coordinates) + 2 * qkv),
            mlp_row_bytes: VALUE * (mlp + mlp / 4 + 2 * stream),
            sliced_row_bytes: VALUE * kernels::MAX_SLICES as u64 * (stream + coordinates),
            widest_row_bytes: VALUE * qkv.max(stream + coordinates),
        }
    }

    fn bytes(&self, n_rows: usize) -> u64 {
        let at_once = n_rows.min(Mlp::ROWS_AT_ONCE) as u64;
        let sliced = n_rows as u64 * self.sliced_row_bytes;
        FIXED_BYTES
            + n_rows as u64 * self.row_bytes
            + at_once * self.mlp_row_bytes
            + sliced.min(VALUE * kernels::MAX_SLICED_VALUES as u64)
    }
}

impl Scratch {
    /// What the parts of a model take on `device`.
    pub fn new(device: &Device, decoder: &Decoder, vision: Option<&VisionTower>) -> Self {
        let config = &decoder.config;
        let ranks = |layer: &Linear| layer.adapters.values().map(LowRank::rank).max();
        let of_layer = |layer: &crate::model::DecoderLayer| {
            let qkv = 3 * ranks(&layer.self_attn.qkv_proj).unwrap_or(0);
            qkv.max(2 * ranks(&layer.mlp.gate_up_proj).unwrap_or(0))
        };
        let coordinates = decoder.layers.iter().map(of_layer).max().unwrap_or(0);
        let heads = config.num_attention_heads + 2 * config.num_key_value_heads;
        let qkv = heads * config.head_dim;
        let stage = |tower: &VisionTower| {
            let width = tower.config.hidden_size;
            let padded = tower.config.intermediate_size.next_multiple_of(128);
            Stage::new(width, 0, 3 * width, padded)
        };
        Self {
            text: Stage::new(
                config.hidden_size,
                coordinates,
                qkv,
                config.intermediate_size + coordinates,
            ),
            vision: vision.map(stage),
            limit: None,
            max_binding_bytes: match device.info().kind {
                Kind::Gpu => device.info().max_binding_bytes,
                Kind::Cpu => u64::MAX,
            },
            max_length: config.max_length,
        }
    }

    /// The same with a limit.
    ///
    /// - `limit`: bytes that encoding may use beside the weights
    pub fn limited(self, limit: Option<u64>) -> Self {
        Self { limit, ..self }
    }

    /// Most bytes that a text takes while it is computed.
    pub fn of_text(&self, n_tokens: usize) -> u64 {
        self.text.bytes(n_tokens)
    }

    /// Most bytes that a picture takes while it is computed.
    ///
    /// - `n_tokens`: of the whole prompt
    pub fn of_picture(&self, n_patches: usize, n_tokens: usize) -> u64 {
        let tower = self.vision.map_or(0, |stage| stage.bytes(n_patches));
        tower + self.text.bytes(n_tokens)
    }

    /// Most tokens of a text that fits.
    pub fn longest_text(&self) -> usize {
        // The statement grows with the tokens.
        let (mut fits, mut too_many) = (0, self.max_length + 1);
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            match self.check_text(middle) {
                Ok(_) => fits = middle,
                Err(_) => too_many = middle,
            }
        }
        fits
    }

    /// Fails unless a text fits; returns what it takes.
    pub fn check_text(&self, n_tokens: usize) -> Result<u64> {
        let what = || format!("a text of {n_tokens} tokens");
        self.check_rows(&self.text, n_tokens, what)?;
        self.check(self.of_text(n_tokens), what)
    }

    /// Fails unless a picture fits; returns what it takes.
    pub fn check_picture(&self, n_patches: usize, n_tokens: usize) -> Result<u64> {
        let what = || format!("a picture of {n_patches} patches");
        if let Some(stage) = &self.vision {
            self.check_rows(stage, n_patches, what)?;
        }
        self.check_rows(&self.text, n_tokens, what)?;
        self.check(self.of_picture(n_patches, n_tokens), what)
    }

    fn check(&self, needed: u64, what: impl FnOnce() -> String) -> Result<u64> {
        match self.limit {
            Some(limit) if needed > limit => Err(Error::TooLarge {
                code: Code::OutOfMemory,
                what: what(),
                needed,
                found: limit,
                found_what: "left beside the weights",
            }),
            _ => Ok(needed),
        }
    }

    /// Every tensor of the stage has to be bound whole.
    fn check_rows(
        &self,
        stage: &Stage,
        n_rows: usize,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let needed = n_rows as u64 * stage.widest_row_bytes;
        match needed > self.max_binding_bytes {
            true => Err(Error::TooLarge {
                code: Code::LimitsInsufficient,
                what: what(),
                needed,
                found: self.max_binding_bytes,
                found_what: "in one binding of this adapter",
            }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published sizes of jina-embeddings-v4.
    fn v4(limit: Option<u64>, max_binding_bytes: u64) -> Scratch {
        Scratch {
            text: Stage::new(2048, 96, 2560, 11_008),
            vision: Some(Stage::new(1280, 0, 3840, 3456)),
            limit,
            max_binding_bytes,
            max_length: 32_768,
        }
    }

    #[test]
    fn a_limit_leaves_the_texts_that_fit_it_and_refuses_one_token_more() {
        let scratch = v4(Some(200 << 20), u64::MAX);
        let longest = scratch.longest_text();
        assert!((512..8192).contains(&longest), "{longest}");
        assert!(scratch.check_text(longest).is_ok());
        let refused = scratch.check_text(longest + 1).expect_err("one too many");
        assert_eq!(refused.code(), Code::OutOfMemory);
        assert!(refused.is_of_one_input());
    }

    #[test]
    fn bindings_that_every_webgpu_device_offers_hold_texts_of_thirteen_thousand_tokens() {
        let scratch = v4(None, 128 << 20);
        assert_eq!(scratch.longest_text(), (128 << 20) / (2560 * 4));
        let refused = scratch
            .check_text(32_768)
            .expect_err("wider than a binding");
        assert_eq!(refused.code(), Code::LimitsInsufficient);
    }

    #[test]
    fn without_limits_the_longest_text_is_the_models() {
        assert_eq!(v4(None, u64::MAX).longest_text(), 32_768);
    }
}
