//! `y = x Wᵀ (+ bias) (+ (x Aᵀ) Bᵀ) (+ residual)`
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::{
    Kernels, Weight,
    launch::{Kernel, contiguous},
};

/// A low-rank update of a weight.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[R, K]`
    pub a: Weight,
    /// `[N, R]`, already multiplied by `alpha / R`
    pub b: Weight,
}

/// - `x`: `[M, K]`, `weight`: `[N, K]`, `bias`: `[N]`, `residual`: `[M, N]`
/// - returns: `[M, N]`
pub fn linear(
    kernels: Kernels,
    x: Tensor<2>,
    weight: &Weight,
    bias: Option<&Tensor<1>>,
    update: Option<&LowRank>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let n_in = x.dims()[1];
    let rank = update.map_or(0, |update| update.a.dims()[0]);
    // The kernel reads four numbers at once.
    let fits = n_in.is_multiple_of(4) && rank.is_multiple_of(4);
    match kernels {
        Kernels::Direct if fits => direct(x, weight, bias, update, residual),
        _ => portable(x, weight, bias, update, residual),
    }
}

fn portable(
    x: Tensor<2>,
    weight: &Weight,
    bias: Option<&Tensor<1>>,
    update: Option<&LowRank>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let product = |x: Tensor<2>, w: &Weight| x.matmul(w.dense().transpose());
    let update = update.map(|update| product(product(x.clone(), &update.a), &update.b));
    let mut y = product(x, weight);
    if let Some(bias) = bias {
        y = y + bias.clone().unsqueeze();
    }
    for addend in [update, residual].into_iter().flatten() {
        y = y + addend;
    }
    y
}

fn direct(
    x: Tensor<2>,
    weight: &Weight,
    bias: Option<&Tensor<1>>,
    update: Option<&LowRank>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    const WORKGROUP: [u32; 2] = [8, 4];
    /// Rows and columns of one invocation.
    const TILE: u32 = 4;
    let [m, k] = x.dims();
    let n = weight.dims()[0];
    let mut inputs = vec![("x", "vec4<f32>"), ("w", "vec4<f32>")];
    let mut lines = [("bias", ""), ("low_rank", ""), ("residual", "")];
    let mut tensors = vec![x.clone(), weight.dense()];
    let mut rank = 0;
    if let Some(bias) = bias {
        inputs.push(("bias", "f32"));
        lines[0].1 = "sum += bias[n];";
        tensors.push(bias.clone().unsqueeze());
    }
    if let Some(LowRank { a, b }) = update {
        rank = a.dims()[0];
        inputs.extend([("t", "vec4<f32>"), ("b", "vec4<f32>")]);
        lines[1].1 = "for (var r = 0u; r < info[3]; r++) { sum += dot(t[m * info[3] + r], b[n * info[3] + r]); }";
        tensors.extend([direct(x, a, None, None, None), b.dense()]);
    }
    if let Some(residual) = residual {
        inputs.push(("residual", "f32"));
        lines[2].1 = "sum += residual[m * N + n];";
        tensors.push(residual);
    }
    let kernel = Kernel {
        source: include_str!("kernel.wgsl"),
        inputs,
        output: "f32",
        constants: lines.map(|(name, line)| (name, line.to_string())).to_vec(),
        workgroup_size: WORKGROUP,
    };
    let (m32, n32) = (m as u32, n as u32);
    kernel.launch(
        tensors.into_iter().filter_map(contiguous).collect(),
        [m, n],
        [
            n32.div_ceil(WORKGROUP[0] * TILE),
            m32.div_ceil(WORKGROUP[1] * TILE),
            1,
        ],
        &[m32, n32, k as u32 / 4, rank as u32 / 4],
    )
}
