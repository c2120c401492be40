//! The values of a matrix whose blocks lie on the graphics device as they lie in the file.
//!
//! Letters: N = rows, K = columns.

#[cfg(test)]
mod tests;

use burn::tensor::{Int, Tensor, TensorData};
use burn_wgpu::CubeBackend;

use crate::gguf::TensorType;

use super::launch::{Kernel, spread};

/// A quantised matrix on the graphics device, byte for byte as in its file.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// The blocks, four bytes a word; the last word is filled with zeros.
    pub words: Tensor<1, Int>,
    pub tensor_type: TensorType,
    /// `[N, K]`; K is a multiple of the block's elements
    pub shape: [usize; 2],
}

impl Blocks {
    /// The whole matrix: `[N, K]`
    pub fn dense(&self) -> Tensor<2> {
        self.launch(self.shape, None)
    }

    /// Some of its rows.
    ///
    /// - `rows`: each below N
    /// - returns: `[rows.len(), K]`
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let n_rows = rows.len();
        let rows = Tensor::from_data(TensorData::new(rows, [n_rows]), &self.words.device());
        self.launch([n_rows, self.shape[1]], Some(rows))
    }

    fn launch(&self, shape: [usize; 2], rows: Option<Tensor<1, Int>>) -> Tensor<2> {
        const WORKGROUP: [u32; 2] = [64, 1];
        /// Values of one invocation.
        const RUN: u32 = 32;
        let value = match rows {
            Some(_) => "rows[at / info[1]] * info[1] + at % info[1]",
            None => "at",
        };
        let mut inputs = vec![("words", "u32")];
        let mut tensors = vec![self.words.clone()];
        if let Some(rows) = rows {
            inputs.push(("rows", "u32"));
            tensors.push(rows);
        }
        let kernel = Kernel {
            source: include_str!("kernel.wgsl"),
            inputs,
            output: "f32",
            constants: vec![
                ("value", value.to_string()),
                ("format", self.tensor_type.name().to_string()),
                (
                    "block_elements",
                    self.tensor_type.block_elements().to_string(),
                ),
                ("block_bytes", self.tensor_type.block_bytes().to_string()),
            ],
            workgroup_size: WORKGROUP,
        };
        let n_values = (shape[0] * shape[1]) as u32;
        let primitives = tensors
            .into_iter()
            .filter_map(|tensor| tensor.try_into_primitive::<CubeBackend>().ok())
            .collect();
        let workgroups = spread(n_values.div_ceil(RUN * WORKGROUP[0]));
        kernel.launch(primitives, shape, workgroups, &[n_values, shape[1] as u32])
    }
}
