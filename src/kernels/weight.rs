//! A matrix of weights, in the form that its device holds.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Blocks;

/// A matrix `[N, K]`.
#[derive(Debug, Clone)]
pub enum Weight {
    /// In f32.
    Dense(Tensor<2>),
    /// Quantised, and decoded each time it is used: a seventh of the memory at four bits.
    Blocks(Blocks),
}

impl Weight {
    /// `[N, K]`
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Weight::Dense(tensor) => tensor.dims(),
            Weight::Blocks(blocks) => blocks.shape,
        }
    }

    /// The device that holds it.
    pub fn device(&self) -> Device {
        match self {
            Weight::Dense(tensor) => tensor.device(),
            Weight::Blocks(blocks) => blocks.words.device(),
        }
    }

    /// In f32: `[N, K]`
    pub fn dense(&self) -> Tensor<2> {
        match self {
            Weight::Dense(tensor) => tensor.clone(),
            Weight::Blocks(blocks) => blocks.dense(),
        }
    }

    /// Some rows in f32.
    ///
    /// - `rows`: each below N
    /// - returns: `[rows.len(), K]`
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        match self {
            Weight::Dense(tensor) => {
                let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
                let n_rows = rows.len();
                let data = TensorData::new(rows, [n_rows]);
                tensor
                    .clone()
                    .select(0, Tensor::<1, Int>::from_data(data, &tensor.device()))
            }
            Weight::Blocks(blocks) => blocks.rows(rows),
        }
    }
}

impl From<Tensor<2>> for Weight {
    fn from(tensor: Tensor<2>) -> Self {
        Weight::Dense(tensor)
    }
}
