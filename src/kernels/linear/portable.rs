//! The product and its finish in Burn's own operations.

use burn::tensor::{Tensor, activation::silu};

use crate::kernels::{Weight, rope};

use super::{Finish, Linear};

pub fn run(linear: &Linear, x: Tensor<2>) -> Tensor<2> {
    let [n, k] = linear.weight.dims();
    let numbers = x.clone().narrow(1, 0, k);
    let mut y = product(numbers.clone(), linear.weight);
    if let Some(bias) = linear.bias {
        y = y + bias.clone().unsqueeze();
    }
    if let Some(update) = linear.low_rank {
        let rank = update.rank();
        let parts = linear.weight.part_rows();
        let mut column = 0;
        let b = update.b.dense();
        let updates = parts.iter().enumerate().map(|(part, rows)| {
            let t = x.clone().narrow(1, k + part * rank, rank);
            let b = b.clone().narrow(0, column, *rows);
            column += rows;
            t.matmul(b.transpose()).mul_scalar(update.scale)
        });
        y = y + Tensor::cat(updates.collect(), 1);
    }
    if let Some(appended) = linear.appended {
        y = Tensor::cat(vec![y, product(numbers, appended)], 1);
    }
    match linear.finish {
        Finish::Plain => y,
        Finish::Rotate { table, n_rotated } => {
            let turned = rope::portable(y.clone().narrow(1, 0, n_rotated), table);
            Tensor::cat(vec![turned, y.narrow(1, n_rotated, n - n_rotated)], 1)
        }
        Finish::SiluMul => silu(y.clone().narrow(1, 0, n / 2)) * y.narrow(1, n / 2, n / 2),
    }
}

fn product(x: Tensor<2>, weight: &Weight) -> Tensor<2> {
    // One after the other: a device may not have room for all of them in f32 at once.
    let parts = weight.dense_parts();
    let mut products: Vec<_> = parts
        .map(|part| x.clone().matmul(part.transpose()))
        .collect();
    match products.len() {
        1 => products.remove(0),
        _ => Tensor::cat(products, 1),
    }
}
