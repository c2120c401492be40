//! SwiGLU: `down(silu(gate(x)) * up(x))`, in the decoder and in the vision tower.

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
    /// - `x`: `[rows, hidden_size]`, with the coordinates of the adapter of `gate_up_proj`
    /// - returns: `[rows, hidden_size]`, with the coordinates of the adapter of `down_proj`
    pub fn forward(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        let gated = self.gate_up_proj.forward(x, pass, Finish::SiluMul);
        self.down_proj.forward_with_coordinates(gated, pass)
    }
}
