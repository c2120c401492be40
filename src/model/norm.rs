//! Root-mean-square normalisation: `x / sqrt(mean(x²) + eps) * weight`, in f32.

use burn::tensor::Tensor;

use crate::kernels::{AddNorm, Update};

use super::{Linear, Pass};

/// `Qwen2RMSNorm` of the reference.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[hidden_size]`
    pub weight: Tensor<1>,
    pub eps: f64,
}

/// The residual stream, and the product of a layer that has yet to join it: the norm that follows
/// adds both in one go.
pub struct Stream<'a> {
    /// `[rows, hidden_size]`
    pub x: Tensor<2>,
    pub update: Option<Update<'a>>,
}

impl<'a> Stream<'a> {
    /// A stream to which `layer`'s product is to be added.
    pub fn with(x: Tensor<2>, layer: &'a Linear, product: Tensor<2>, pass: Pass) -> Self {
        let low_rank = layer.low_rank(pass);
        let update = Some(Update { product, low_rank });
        Self { x, update }
    }
}

impl From<Tensor<2>> for Stream<'_> {
    fn from(x: Tensor<2>) -> Self {
        Self { x, update: None }
    }
}

impl RmsNorm {
    /// - `next`: the layer that the norm is for, if an adapter may wait there
    /// - returns: the stream, and its norm with the coordinates of that adapter
    pub fn forward(
        &self,
        stream: Stream,
        next: Option<&Linear>,
        pass: Pass,
    ) -> (Tensor<2>, Tensor<2>) {
        let norm = AddNorm {
            weight: &self.weight,
            eps: self.eps,
            coordinates: next
                .and_then(|next| next.low_rank(pass))
                .map(|update| &update.a),
        };
        norm.run(pass.kernels, stream.x, stream.update)
    }
}
