//! Root-mean-square normalisation: `x / sqrt(mean(x²) + eps) * weight`, in f32.

use burn::tensor::Tensor;

use crate::kernels;

use super::Pass;

/// `Qwen2RMSNorm` of the reference.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[hidden_size]`
    pub weight: Tensor<1>,
    pub eps: f64,
}

impl RmsNorm {
    /// - `x`: `[rows, hidden_size]`
    pub fn forward(&self, x: Tensor<2>, pass: Pass) -> Tensor<2> {
        kernels::rms_norm(pass.kernels, x, &self.weight, self.eps)
    }
}
