//! Rotary positions, half-split (NeoX) form: `y = x * cos + (-x₂, x₁) * sin`. On a graphics device
//! the product that makes queries and keys turns them ([`super::Finish::Rotate`]).
//!
//! Letters: M = rows, N = heads, D = head_dim.

#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor, TensorData};

/// Cosine and sine for every row, on the device. Made on the host: software adapters are off by
/// 2e-4 in both.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// `[M, D]`: cosine and sine of the D / 2 angles of a row, in turn
    turns: Tensor<2>,
}

impl RopeTable {
    /// - `cos`, `sin`: `[M, D / 2]`, row-major
    pub fn new(cos: &[f32], sin: &[f32], head_dim: usize, device: &Device) -> Self {
        let turns: Vec<f32> = cos.iter().zip(sin).flat_map(|(c, s)| [*c, *s]).collect();
        let n_rows = turns.len() / head_dim;
        Self {
            turns: Tensor::from_data(TensorData::new(turns, [n_rows, head_dim]), device),
        }
    }

    /// D
    pub fn head_dim(&self) -> usize {
        self.turns.dims()[1]
    }

    /// `[M, D]`: cosine and sine of the D / 2 angles of a row, in turn
    pub fn turns(&self) -> Tensor<2> {
        self.turns.clone()
    }

    /// The table that turns back.
    pub fn inverse(&self) -> Self {
        let [m, d] = self.turns.dims();
        let pairs: Tensor<3> = self.turns.clone().reshape([m, d / 2, 2]);
        let cos = pairs.clone().narrow(2, 0, 1);
        let sin = pairs.narrow(2, 1, 1).neg();
        Self {
            turns: Tensor::cat(vec![cos, sin], 2).reshape([m, d]),
        }
    }
}

/// Rotates queries or keys, in Burn's own operations.
///
/// - `x`: `[M, N * D]`
/// - returns: `[M, N * D]`
pub fn portable(x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    let [m, width] = x.dims();
    let head_dim = table.head_dim();
    let half = head_dim / 2;
    let pairs: Tensor<3> = table.turns().reshape([m, half, 2]);
    let [cos, sin] =
        [0, 1].map(|i| -> Tensor<3> { pairs.clone().narrow(2, i, 1).reshape([m, 1, half]) });
    let x: Tensor<3> = x.reshape([m, width / head_dim, head_dim]);
    let first = x.clone().narrow(2, 0, half);
    let second = x.narrow(2, half, half);
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    Tensor::cat(vec![turned_first, turned_second], 2).reshape([m, width])
}
