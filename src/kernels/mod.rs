//! Fused operations on tensors: one folder each, with its WGSL, its launcher, its portable form in
//! Burn's own operations, and its tests against a plain loop in f64.
//!
//! | operation | computes |
//! | --- | --- |
//! | [`Blocks`] | the values of a quantised matrix, whole or some rows |
//! | [`linear`] | `x Wᵀ (+ bias) (+ t Bᵀ) (+ residual)` |
//! | [`rms_norm`] | `x / sqrt(mean(x²) + eps) * weight` |
//! | [`rope`] | half-split rotation by position |
//! | [`silu_mul`] | `silu(gate) * up` |
//! | [`attention`] | softmax attention over a range of keys per query |
//!
//! Kernels know tensors only: no model, no files.

mod attention;
mod dequantize;
mod launch;
mod linear;
mod rms_norm;
mod rope;
mod silu_mul;
#[cfg(test)]
mod testing;
mod weight;

pub use attention::{Heads, KeyRanges, attention};
pub use dequantize::Blocks;
pub use linear::{LowRank, linear};
pub use rms_norm::rms_norm;
pub use rope::{RopeTable, rope};
pub use silu_mul::silu_mul;
pub use weight::Weight;

/// Which form of the operations a device runs best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Burn's own operations. The only form on the CPU device.
    Portable,
    /// Fused kernels around Burn's tiled products, for graphics cards.
    Tiled,
    /// Kernels without workgroup memory in their products, for processors that play a graphics
    /// card: there a barrier costs more than the memory it saves (four times slower on lavapipe
    /// and SwiftShader).
    Direct,
}
