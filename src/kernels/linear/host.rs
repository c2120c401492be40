//! The product and its finish on the processor, from blocks as they are.

use burn::tensor::Tensor;

use crate::{
    cpu::{self, Part, Product, Rows, rope},
    kernels::{
        Weight,
        host::{Values, resources, tensor, zeros},
    },
};

use super::{Finish, Linear};

/// `None` if a weight or a tensor is not the processor's.
pub fn run(linear: &Linear, x: &Tensor<2>) -> Option<Tensor<2>> {
    let (level, threads) = resources();
    let [m, stride] = x.dims();
    let [_, k] = linear.weight.dims();
    let x = Values::of(x)?;
    let bias = match linear.bias {
        Some(bias) => Some(Values::of(bias)?),
        None => None,
    };
    let mut parts = Vec::new();
    let mut column = 0;
    for matrix in linear.weight.host()? {
        let n = matrix.shape()[0];
        parts.push(Part {
            matrix,
            bias: bias.as_ref().map(|bias| &bias.as_slice()[column..][..n]),
            update: None,
        });
        column += n;
    }
    if let Some(update) = linear.low_rank {
        for (at, (part, b)) in parts.iter_mut().zip(update.b.host()?).enumerate() {
            part.update = Some(cpu::Update {
                b,
                column: k + at * update.rank(),
                scale: update.scale,
            });
        }
    }
    for appended in linear.appended.into_iter().map(Weight::host) {
        parts.extend(appended?.flat_map(|matrix| Product::new(matrix).parts));
    }
    let halves = linear.weight.part_rows();
    let finish = match linear.finish {
        Finish::SiluMul if !matches!(halves[..], [gate, up] if gate == up) => return None,
        Finish::SiluMul => cpu::Finish::SiluMul,
        Finish::Plain | Finish::Rotate { .. } => cpu::Finish::Write,
    };
    let product = Product { parts, finish };
    let width = product.width();
    let mut y = zeros(m * width);
    product.run(level, threads, Rows::new(x.as_slice(), stride), &mut y);
    if let Finish::Rotate { table, n_rotated } = linear.finish {
        let turns = Values::of(&table.turns())?;
        let head_dim = table.head_dim();
        rope(
            level,
            threads,
            turns.as_slice(),
            head_dim,
            n_rotated,
            &mut y,
        );
    }
    Some(tensor(y, [m, width]))
}
