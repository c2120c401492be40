//! The model's operations on the processor: plain slices in, plain slices out.
//!
//! [`Matrix`] keeps a tensor of a GGUF file in about the bytes that it has there, in the order in
//! which [`Product`] multiplies it: 32 rows side by side, decoded a stretch at a time into the
//! first-level cache. Quantised weights stay whole numbers, and meet activations of 16 bits that
//! share a scale with 31 neighbours; the sums of a sub-block are exact.
//!
//! Why 16 bits, when others use 8: the error of a product is 1.5e-5 of its size rather than 5e-3,
//! which is the difference between the model's own vectors and vectors near them.
//!
//! This module knows no tensors and no model. Whatever computes is a `simd::Kernel`, written
//! once and compiled for every instruction set; [`Level::best`] picks the one that is there.

mod activations;
mod attention;
mod block;
mod error;
mod format;
mod functions;
mod matrix;
mod panel;
mod product;
mod rows;
mod simd;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod tile;

pub use activations::Rows;
pub use attention::Attention;
pub use error::Error;
pub use matrix::{Matrix, MatrixBuilder};
pub use product::{Finish, Part, Product, Update};
pub use rows::{add, rms_norm, rope};
pub use simd::Level;
pub use threads::Threads;
