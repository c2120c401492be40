//! SwiGLU: `down(silu(gate(x)) * up(x))`, in the decoder and in the vision tower.
//!
//! Its inner width is the largest of the model, five times that of the stream, and rows do not see
//! each other here: a long input goes through it a chunk of rows at a time, so that memory grows
//! with the stream alone.

use burn::tensor::Tensor;

use crate::kernels::Finish;

use super::{Linear, Pass};

/// `Qwen2MLP` of the reference.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `gate_proj` above `up_proj`
    pub gate_up_proj: Linear,
    pub down_proj: Linear,
}

impl Mlp {
    /// Rows computed at once: enough to fill a graphics card. At the published width of 11,008 the
    /// inner tensor then takes 43 MiB, a third of the smallest binding that WebGPU guarantees.
    pub const ROWS_AT_ONCE: usize = 1024;

    /// - `x`: `[rows, hidden_size]`, with the coordinates of the adapter of `gate_up_proj`
    /// - returns: `[S * rows, hidden_size]`, with the coordinates of the adapter of `down_proj`; see
    ///   [`Linear::forward_in_slices`]
    pub fn forward(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        let n_rows = x.dims()[0];
        if n_rows <= Self::ROWS_AT_ONCE {
            return self.down_proj.forward_in_slices(self.gated(x, pass), pass);
        }
        let chunk = |first: usize| {
            let n = Self::ROWS_AT_ONCE.min(n_rows - first);
            let gated = self.gated(x.clone().narrow(0, first, n), pass);
            self.down_proj.forward_with_coordinates(gated, pass)
        };
        let chunks = (0..n_rows).step_by(Self::ROWS_AT_ONCE).map(chunk);
        Tensor::cat(chunks.collect(), 0)
    }

    fn gated(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.gate_up_proj.forward(x, pass, Finish::SiluMul)
    }
}
