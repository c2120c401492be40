//! SwiGLU: `down(silu(gate(x)) * up(x))`, in the decoder and in the vision tower.

use burn::tensor::{Tensor, activation::silu};

use super::{Adapter, Linear};

/// `Qwen2MLP` of the reference.
#[derive(Debug, Clone)]
pub struct Mlp {
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
}

impl Mlp {
    /// - `x`: `[rows, hidden_size]`
    pub fn forward(&self, x: Tensor<2>, adapter: Option<Adapter>) -> Tensor<2> {
        let gate = silu(self.gate_proj.forward(x.clone(), adapter));
        let up = self.up_proj.forward(x, adapter);
        self.down_proj.forward(gate * up, adapter)
    }
}
