//! A matrix of weights, in the form that its device holds.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Packed;

/// A matrix `[N, K]`, or several that multiply the same input, their rows one after the other.
#[derive(Debug, Clone)]
pub enum Weight {
    /// In f32.
    Dense(Vec<Tensor<2>>),
    /// Quantised, and decoded in the registers of the kernels that use it.
    Packed(Vec<Packed>),
}

impl Weight {
    /// `[N, K]`
    pub fn dims(&self) -> [usize; 2] {
        let rows = self.part_rows();
        let k = match self {
            Weight::Dense(parts) => parts.first().map(|part| part.dims()[1]),
            Weight::Packed(parts) => parts.first().map(|part| part.shape[1]),
        };
        [rows.iter().sum(), k.unwrap_or(0)]
    }

    /// Rows of each of its matrices.
    pub fn part_rows(&self) -> Vec<usize> {
        match self {
            Weight::Dense(parts) => parts.iter().map(|part| part.dims()[0]).collect(),
            Weight::Packed(parts) => parts.iter().map(|part| part.shape[0]).collect(),
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
        };
        device.unwrap_or_else(Device::flex)
    }

    /// In f32: `[N, K]`
    pub fn dense(&self) -> Tensor<2> {
        let mut parts: Vec<Tensor<2>> = match self {
            Weight::Dense(parts) => parts.clone(),
            Weight::Packed(parts) => parts.iter().map(Packed::dense).collect(),
        };
        match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(parts, 0),
        }
    }

    /// The same with every number in f32, for comparison.
    pub fn expanded(&self) -> Weight {
        self.dense().into()
    }

    /// Some rows in f32.
    ///
    /// - `rows`: each below N
    /// - returns: `[rows.len(), K]`
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        if let Weight::Packed(parts) = self
            && let [part] = parts.as_slice()
        {
            return part.rows(rows);
        }
        let table = self.dense();
        let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let n_rows = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_rows]), &table.device());
        table.select(0, rows)
    }

    /// This matrix and others below it.
    ///
    /// Matrices of another form than the first are expanded to f32; a device keeps all of a model
    /// in one form.
    pub fn stacked(weights: Vec<Weight>) -> Weight {
        let mut packed = Vec::new();
        for weight in &weights {
            match weight {
                Weight::Packed(parts) => packed.extend(parts.iter().cloned()),
                Weight::Dense(_) => {
                    let parts = weights.iter().map(Weight::dense).collect();
                    return Weight::Dense(parts);
                }
            }
        }
        Weight::Packed(packed)
    }
}

impl From<Tensor<2>> for Weight {
    fn from(tensor: Tensor<2>) -> Self {
        Weight::Dense(vec![tensor])
    }
}
