//! A matrix of weights, in the form that its device holds.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Packed, host};
use crate::cpu;

/// A matrix `[N, K]`, or several that multiply the same input, their rows one after the other.
#[derive(Debug, Clone)]
pub enum Weight {
    /// In f32.
    Dense(Vec<Tensor<2>>),
    /// Quantised, and decoded in the registers of the kernels that use it.
    Packed(Vec<Packed>),
    /// In the blocks of its file on the processor, which multiplies them as they are.
    Host(Vec<Arc<cpu::Matrix>>),
}

impl Weight {
    /// `[N, K]`
    pub fn dims(&self) -> [usize; 2] {
        let rows = self.part_rows();
        let k = match self {
            Weight::Dense(parts) => parts.first().map(|part| part.dims()[1]),
            Weight::Packed(parts) => parts.first().map(|part| part.shape[1]),
            Weight::Host(parts) => parts.first().map(|part| part.shape()[1]),
        };
        [rows.iter().sum(), k.unwrap_or(0)]
    }

    /// Rows of each of its matrices.
    pub fn part_rows(&self) -> Vec<usize> {
        match self {
            Weight::Dense(parts) => parts.iter().map(|part| part.dims()[0]).collect(),
            Weight::Packed(parts) => parts.iter().map(|part| part.shape[0]).collect(),
            Weight::Host(parts) => parts.iter().map(|part| part.shape()[0]).collect(),
        }
    }

    /// The device that holds it; the processor for a weight without parts.
    pub fn device(&self) -> Device {
        let device = match self {
            Weight::Dense(parts) => parts.first().map(Tensor::device),
            Weight::Packed(parts) => parts
                .first()
                .and_then(|part| part.parts.first())
                .map(|part| part.words.device()),
            Weight::Host(_) => None,
        };
        device.unwrap_or_else(Device::flex)
    }

    /// In f32: `[N, K]`
    pub fn dense(&self) -> Tensor<2> {
        let mut parts: Vec<Tensor<2>> = self.dense_parts().collect();
        match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(parts, 0),
        }
    }

    /// Each of its matrices in f32, made when it is asked for.
    pub fn dense_parts(&self) -> impl Iterator<Item = Tensor<2>> {
        let n_parts = match self {
            Weight::Dense(parts) => parts.len(),
            Weight::Packed(parts) => parts.len(),
            Weight::Host(parts) => parts.len(),
        };
        (0..n_parts).map(move |part| match self {
            Weight::Dense(parts) => parts[part].clone(),
            Weight::Packed(parts) => parts[part].dense(),
            Weight::Host(parts) => all_rows(&parts[part]),
        })
    }

    /// Some rows in f32.
    ///
    /// - `rows`: each below N
    /// - returns: `[rows.len(), K]`
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        match self {
            Weight::Packed(parts) if parts.len() == 1 => return parts[0].rows(rows),
            Weight::Host(parts) if parts.len() == 1 => return host_rows(&parts[0], rows),
            _ => {}
        }
        let table = self.dense();
        let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let n_rows = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_rows]), &table.device());
        table.select(0, rows)
    }

    /// Its matrices, if it lies in blocks on the processor.
    pub fn host(&self) -> Option<impl Iterator<Item = &cpu::Matrix>> {
        match self {
            Weight::Host(parts) => Some(parts.iter().map(Arc::as_ref)),
            _ => None,
        }
    }

    /// This matrix and others below it.
    ///
    /// Matrices of another form than the first are expanded to f32; a device keeps all of a model
    /// in one form.
    pub fn stacked(weights: Vec<Weight>) -> Weight {
        let (mut packed, mut host) = (Vec::new(), Vec::new());
        for weight in &weights {
            match weight {
                Weight::Packed(parts) => packed.extend(parts.iter().cloned()),
                Weight::Host(parts) => host.extend(parts.iter().cloned()),
                Weight::Dense(_) => {}
            }
        }
        let n_parts: usize = weights.iter().map(|weight| weight.part_rows().len()).sum();
        match n_parts {
            n if n == packed.len() => Weight::Packed(packed),
            n if n == host.len() => Weight::Host(host),
            _ => Weight::Dense(weights.iter().map(Weight::dense).collect()),
        }
    }
}

impl From<cpu::Matrix> for Weight {
    fn from(matrix: cpu::Matrix) -> Self {
        Weight::Host(vec![Arc::new(matrix)])
    }
}

fn host_rows(matrix: &cpu::Matrix, rows: &[u32]) -> Tensor<2> {
    let k = matrix.shape()[1];
    let mut values = vec![0.0; rows.len() * k];
    matrix.rows(rows, &mut values);
    host::tensor(values, [rows.len(), k])
}

fn all_rows(matrix: &cpu::Matrix) -> Tensor<2> {
    let rows: Vec<u32> = (0..matrix.shape()[0] as u32).collect();
    host_rows(matrix, &rows)
}

impl From<Tensor<2>> for Weight {
    fn from(tensor: Tensor<2>) -> Self {
        Weight::Dense(vec![tensor])
    }
}
