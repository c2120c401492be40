//! `silu(gate) * up`, the middle of a SwiGLU layer.

#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, activation::silu};

use super::{
    Kernels,
    launch::{Kernel, contiguous, spread},
};

/// - `gate`, `up`: `[M, N]`
/// - returns: `[M, N]`
pub fn silu_mul(kernels: Kernels, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    match kernels {
        Kernels::Portable => silu(gate) * up,
        Kernels::Tiled | Kernels::Direct => fused(gate, up),
    }
}

fn fused(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    const WORKGROUP: [u32; 2] = [64, 1];
    let shape = gate.dims();
    let n_elements = (shape[0] * shape[1]) as u32;
    let kernel = Kernel {
        source: include_str!("kernel.wgsl"),
        inputs: vec![("gate", "f32"), ("up", "f32")],
        output: "f32",
        constants: Vec::new(),
        workgroup_size: WORKGROUP,
    };
    kernel.launch(
        [gate, up].into_iter().filter_map(contiguous).collect(),
        shape,
        spread(n_elements.div_ceil(WORKGROUP[0])),
        &[n_elements],
    )
}
