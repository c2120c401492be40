//! Fused operations on tensors: one folder each, with its WGSL, its launcher, its portable form in
//! Burn's own operations, and its tests against a plain loop in f64.
//!
//! | operation | computes |
//! | --- | --- |
//! | [`Packed`] | quantised matrices on the device, and some of their rows |
//! | [`Linear`] | `x Wᵀ`, with bias, low-rank update, and rotation or `silu(gate) * up` |
//! | [`attention`] | softmax attention over a range of keys per query |
//! | [`AddNorm`] | the residual sum, its RMS norm, and the norm's low-rank coordinates |
//!
//! A decoder layer is seven launches: add_norm, queries with keys and values, attention, output,
//! add_norm, gate with up, down. Kernels know tensors only: no model, no files.

mod add_norm;
mod attention;
mod buffers;
mod forms;
mod host;
mod launch;
mod linear;
mod name;
mod packed;
mod rope;
#[cfg(test)]
mod testing;
mod timing;
mod unroll;
mod weight;

pub use add_norm::{AddNorm, Update};
pub use attention::{Heads, KeyRanges, attention};
pub(crate) use forms::{Attention as AttentionForm, N_CLASSES};
pub use forms::{Forms, UnknownForms};
pub use launch::{Launch, begin_count, end_count};
pub use linear::{Finish, Linear, LowRank, MAX_SLICED_VALUES, MAX_SLICES};
pub use name::Name;
pub use packed::{Packed, Packer, Part, padded_rows, row_words, rows_per_part};
pub use rope::{RopeTable, portable as rotated};
pub use timing::{Timing, begin_timing, end_timing};
pub use weight::Weight;

/// Which form of the operations a device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Burn's own operations: what the others are compared with, and fall back to.
    Portable,
    /// The products and loops of [`crate::cpu`], for the processor.
    Host,
    /// Our shaders, for a graphics device.
    Gpu(Forms),
}

impl std::fmt::Display for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Kernels::Portable => f.write_str("portable"),
            Kernels::Host => f.write_str("host"),
            Kernels::Gpu(forms) => forms.fmt(f),
        }
    }
}

impl Kernels {
    /// The fixed choice for graphics cards.
    pub const TILED: Self = Self::Gpu(Forms::TILED);
    /// The fixed choice for processors that play a graphics card.
    pub const DIRECT: Self = Self::Gpu(Forms::DIRECT);
}
