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
    match weight {
        Weight::Dense(parts) if parts.len() > 1 => {
            let products = parts
                .iter()
                .map(|part| x.clone().matmul(part.clone().transpose()));
            Tensor::cat(products.collect(), 1)
        }
        _ => x.matmul(weight.dense().transpose()),
    }
}
