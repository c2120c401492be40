//! What a forward pass tells its caller while it runs.

use burn::tensor::Tensor;

/// The caller wants no more; nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Watches a forward pass: may stop it between layers, may look at its tensors.
///
/// One seam serves cancelling (a worker reads its messages between layers), progress, and the
/// layer-by-layer parity tests.
pub trait Observer {
    /// Called when the work on an input begins.
    fn began(&mut self) {}

    /// Called when an input has become ids and patches, before its first tensor.
    fn prepared(&mut self) {}

    /// Called before each layer. May let other work of the thread run; `Err` ends the pass.
    fn before_layer(&mut self) -> impl Future<Output = Result<(), Stopped>> {
        std::future::ready(Ok(()))
    }

    /// Called when the device was told to give back what no tensor uses.
    fn released(&mut self) {}

    /// Called with tensors as they are made, named as the goldens name them:
    /// `text.layer0.q_proj`, `vision.block3.output`.
    ///
    /// Both are made only for an observer that looks: some of the reference's tensors never exist
    /// here, since fused kernels pass over them, and have to be taken back from what follows.
    fn tensor(&mut self, name: impl FnOnce() -> String, tensor: impl FnOnce() -> Tensor<2>) {
        let _ = (name, tensor);
    }
}

/// Watches nothing.
impl Observer for () {}
