//! SwiGLU: `down(silu(gate(x)) * up(x))`, in the decoder and in the vision tower.

use burn::tensor::Tensor;

use crate::kernels;

use super::{Linear, Pass};

/// `Qwen2MLP` of the reference.
#[derive(Debug, Clone)]
pub struct Mlp {
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
}

impl Mlp {
    /// - `residual`, `x`: `[rows, hidden_size]`
    /// - returns: `residual` + the layer's output
    pub fn forward_onto(&self, residual: Tensor<2>, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        let gate = self.gate_proj.forward(x.clone(), pass);
        let up = self.up_proj.forward(x, pass);
        let gated = kernels::silu_mul(pass.kernels, gate, up);
        self.down_proj.forward_onto(residual, gated, pass)
    }
}
