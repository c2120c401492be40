//! How one forward pass is computed.

use crate::kernels::Kernels;

use super::Adapter;

/// What every layer of a pass needs to know beside its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The low-rank updates to add; none for merged weights and for the vision tower.
    pub adapter: Option<Adapter>,
    /// The form of the operations.
    pub kernels: Kernels,
}
