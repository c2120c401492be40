//! Root-mean-square normalisation: `x / sqrt(mean(x²) + eps) * weight`, in f32.

use burn::tensor::Tensor;

/// `Qwen2RMSNorm` of the reference.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[hidden_size]`
    pub weight: Tensor<1>,
    pub eps: f64,
}

impl RmsNorm {
    /// - `x`: `[rows, hidden_size]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mean_of_squares = x.clone().square().mean_dim(1);
        let scale = mean_of_squares.add_scalar(self.eps).sqrt().recip();
        x * scale * self.weight.clone().unsqueeze()
    }
}
