//! The sum, its norm and the norm's coordinates on the processor.

use burn::tensor::Tensor;

use crate::{
    cpu::{self, Finish, Product, Rows, rms_norm},
    kernels::host::{Values, resources, tensor, zeros},
};

use super::{AddNorm, Update};

/// `None` if a weight or a tensor is not the processor's.
pub fn run(
    norm: &AddNorm,
    x: &Tensor<2>,
    update: Option<&Update>,
) -> Option<(Tensor<2>, Tensor<2>)> {
    let (level, threads) = resources();
    let [m, width] = x.dims();
    let sum = match update {
        None => x.clone(),
        Some(Update { product, low_rank }) => {
            let stride = product.dims()[1];
            let product = Values::of(product)?;
            let x = Values::of(x)?;
            let mut sum = zeros(m * width);
            cpu::add(threads, x.as_slice(), product.as_slice(), width, &mut sum);
            if let Some(low_rank) = low_rank {
                let coordinates = product.as_slice().chunks_exact(stride);
                let t: Vec<f32> = coordinates
                    .flat_map(|row| row[width..].iter().map(|t| t * low_rank.scale))
                    .collect();
                let update = Product {
                    parts: low_rank
                        .b
                        .host()?
                        .flat_map(|b| Product::new(b).parts)
                        .collect(),
                    finish: Finish::Add,
                };
                update.run(level, threads, Rows::new(&t, stride - width), &mut sum);
            }
            tensor(sum, [m, width])
        }
    };
    let coordinates: Vec<&cpu::Matrix> = match norm.coordinates {
        None => Vec::new(),
        Some(a) => a.host()?.collect(),
    };
    let n_coordinates: usize = coordinates.iter().map(|a| a.shape()[0]).sum();
    let stride = width + n_coordinates;
    let mut normed = zeros(m * stride);
    let (x, weight) = (Values::of(&sum)?, Values::of(norm.weight)?);
    let eps = norm.eps as f32;
    rms_norm(
        level,
        threads,
        x.as_slice(),
        weight.as_slice(),
        eps,
        &mut normed,
    );
    if n_coordinates > 0 {
        let parts = coordinates.into_iter().flat_map(|a| Product::new(a).parts);
        let product = Product {
            parts: parts.collect(),
            finish: Finish::Write,
        };
        let mut t = vec![0.0; m * n_coordinates];
        product.run(level, threads, Rows::new(&normed, stride), &mut t);
        let rows = normed.chunks_exact_mut(stride);
        for (normed, t) in rows.zip(t.chunks_exact(n_coordinates)) {
            normed[width..].copy_from_slice(t);
        }
    }
    Some((sum, tensor(normed, [m, stride])))
}
