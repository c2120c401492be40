//! The multi-vector head: every token's final hidden state, projected by a linear layer with an
//! adapter of its own for each task (spec section 6.2). Rows are normalised by the pooling.

use burn::tensor::Tensor;

use super::{Linear, Pass};

/// `multi_vector_projector` of the reference.
#[derive(Debug, Clone)]
pub struct Projector {
    /// hidden_size -> multi_vector_projector_dim, with bias
    pub linear: Linear,
}

impl Projector {
    /// Length of one row.
    pub fn dim(&self) -> usize {
        self.linear.weight.dims()[0]
    }

    /// - `hidden_states`: `[T, hidden_size]`
    /// - returns: `[T, dim]`, not normalised
    pub fn forward(&self, hidden_states: Tensor<2>, pass: Pass) -> Tensor<2> {
        self.linear.forward_whole(hidden_states, pass)
    }
}
