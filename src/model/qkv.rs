//! Queries, keys and values from one product, side by side and already turned.
//!
//! Letters: M = rows, N = query heads, G = key/value heads, D = head_dim.

use burn::tensor::Tensor;

use crate::kernels::{Finish, Heads, RopeTable, rotated};

use super::{Linear, Observer, Pass};

/// - `x`: `[M, H]` with the coordinates of the layer's adapter
/// - returns: `[M, (N + 2 G) * D]`
pub fn project(
    layer: &Linear,
    heads: Heads,
    x: Tensor<2>,
    table: &RopeTable,
    pass: Pass,
) -> Tensor<2> {
    let n_rotated = (heads.n_heads + heads.n_kv_heads) * heads.head_dim;
    layer.forward(x, pass, Finish::Rotate { table, n_rotated })
}

/// Shows queries, keys and values as the reference makes them, before they are turned.
pub fn observe<O: Observer>(
    observer: &mut O,
    names: [String; 3],
    heads: Heads,
    qkv: &Tensor<2>,
    table: &RopeTable,
) {
    let q_width = heads.n_heads * heads.head_dim;
    let kv_width = heads.n_kv_heads * heads.head_dim;
    let parts = [
        (0, q_width, true),
        (q_width, kv_width, true),
        (q_width + kv_width, kv_width, false),
    ];
    for (name, (start, width, is_turned)) in names.into_iter().zip(parts) {
        observer.tensor(
            || name,
            || match columns(qkv, start, width) {
                part if is_turned => rotated(part, &table.inverse()),
                part => part,
            },
        );
    }
}

/// Some columns of a matrix.
pub fn columns(x: &Tensor<2>, start: usize, width: usize) -> Tensor<2> {
    x.clone().narrow(1, start, width)
}
