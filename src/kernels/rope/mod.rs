//! Rotary positions, half-split (NeoX) form: `y = x * cos + (-x₂, x₁) * sin`.
//!
//! Letters: M = rows, N = heads, D = head_dim.

#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    Kernels,
    launch::{Kernel, contiguous, spread},
};

/// Cosine and sine for every row, on the device. Made on the host: software adapters are off by
/// 2e-4 in both.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// `[M, D]`
    cos: Tensor<2>,
    /// `[M, D]`
    sin: Tensor<2>,
}

impl RopeTable {
    /// - `cos`, `sin`: `[M, D]`, row-major; channel i + D/2 repeats channel i
    pub fn new(cos: Vec<f32>, sin: Vec<f32>, head_dim: usize, device: &Device) -> Self {
        let n_rows = cos.len() / head_dim;
        let upload =
            |values| Tensor::from_data(TensorData::new(values, [n_rows, head_dim]), device);
        Self {
            cos: upload(cos),
            sin: upload(sin),
        }
    }
}

/// Rotates queries or keys.
///
/// - `x`: `[M, N * D]`
/// - returns: `[M, N * D]`
pub fn rope(kernels: Kernels, x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    match kernels {
        Kernels::Portable => portable(x, table),
        Kernels::Tiled | Kernels::Direct => fused(x, table),
    }
}

fn portable(x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    let [m, width] = x.dims();
    let head_dim = table.cos.dims()[1];
    let half = head_dim / 2;
    let x: Tensor<3> = x.reshape([m, width / head_dim, head_dim]);
    let first = x.clone().narrow(2, 0, half);
    let second = x.clone().narrow(2, half, half);
    let turned = Tensor::cat(vec![second.neg(), first], 2);
    let [cos, sin] = [&table.cos, &table.sin].map(|table| table.clone().unsqueeze_dim::<3>(1));
    (x * cos + turned * sin).reshape([m, width])
}

fn fused(x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    const WORKGROUP: [u32; 2] = [64, 1];
    let [m, width] = x.dims();
    let head_dim = table.cos.dims()[1];
    let kernel = Kernel {
        source: include_str!("kernel.wgsl"),
        inputs: vec![("x", "f32"), ("cos_table", "f32"), ("sin_table", "f32")],
        output: "f32",
        constants: Vec::new(),
        workgroup_size: WORKGROUP,
    };
    let tensors = [x, table.cos.clone(), table.sin.clone()];
    let n_pairs = (m * width / 2) as u32;
    kernel.launch(
        tensors.into_iter().filter_map(contiguous).collect(),
        [m, width],
        spread(n_pairs.div_ceil(WORKGROUP[0])),
        &[m as u32, (width / head_dim) as u32, head_dim as u32 / 2],
    )
}
