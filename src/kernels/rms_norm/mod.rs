//! Root-mean-square normalisation: `y = x / sqrt(mean(x²) + eps) * weight`, in f32.
//!
//! Letters: M = rows, H = width.

#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::{
    Kernels,
    launch::{Kernel, contiguous, spread},
};

/// - `x`: `[M, H]`, `weight`: `[H]`
/// - returns: `[M, H]`
pub fn rms_norm(kernels: Kernels, x: Tensor<2>, weight: &Tensor<1>, eps: f64) -> Tensor<2> {
    match kernels {
        Kernels::Portable => portable(x, weight, eps),
        Kernels::Tiled | Kernels::Direct => fused(x, weight, eps),
    }
}

fn portable(x: Tensor<2>, weight: &Tensor<1>, eps: f64) -> Tensor<2> {
    let mean_of_squares = x.clone().square().mean_dim(1);
    let scale = mean_of_squares.add_scalar(eps).sqrt().recip();
    x * scale * weight.clone().unsqueeze()
}

fn fused(x: Tensor<2>, weight: &Tensor<1>, eps: f64) -> Tensor<2> {
    let [m, h] = x.dims();
    let kernel = Kernel {
        source: include_str!("kernel.wgsl"),
        inputs: vec![("x", "f32"), ("weight", "f32")],
        output: "f32",
        constants: Vec::new(),
        workgroup_size: [64, 1],
    };
    let tensors = [contiguous(x), contiguous(weight.clone())];
    let info = [m as u32, h as u32, (eps as f32).to_bits()];
    kernel.launch(
        tensors.into_iter().flatten().collect(),
        [m, h],
        spread(m as u32),
        &info,
    )
}
