//! The processor's tensors as the slices that [`crate::cpu`] computes on.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::{Tensor, TensorData},
};

use crate::cpu::{Level, Threads};

/// The numbers of a tensor of the processor, copied only where they do not lie in order.
pub struct Values(FlexTensor);

impl Values {
    /// `None` for a tensor of another device, or of other numbers than f32.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        let tensor = tensor.clone().try_into_primitive::<Flex>().ok()?;
        let tensor = match tensor.as_slice::<f32>() {
            Some(_) => tensor,
            None => tensor.to_contiguous(),
        };
        tensor.as_slice::<f32>()?;
        Some(Self(tensor))
    }

    /// Row-major.
    pub fn as_slice(&self) -> &[f32] {
        self.0.as_slice().unwrap_or(&[])
    }
}

/// Zeros to be written over.
///
/// Large buffers come fresh from the system each time, and are first touched a page at a time: at
/// 4,096 tokens a layer's were 100,000 pages of 4 KiB, a twelfth of its time. Where the system
/// offers large pages to whoever asks, this asks.
pub fn zeros(n: usize) -> Vec<f32> {
    let values = vec![0.0; n];
    #[cfg(target_os = "linux")]
    ask_for_large_pages(&values);
    values
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(values: &[f32]) {
    /// From here on glibc always asks the system; below it mostly has memory at hand.
    const MIN_BYTES: usize = 32 << 20;
    /// The largest of the usual small pages, to one of which advice has to be aligned.
    const ALIGNMENT: usize = 64 << 10;
    let n_bytes = size_of_val(values);
    if n_bytes < MIN_BYTES {
        return;
    }
    let start = values.as_ptr().cast::<u8>();
    let skipped = start.align_offset(ALIGNMENT);
    // SAFETY: the range lies within the values, and advice changes no contents. A system without
    // large pages refuses, and nothing is different.
    unsafe {
        let start = start.add(skipped).cast_mut().cast();
        libc::madvise(start, n_bytes - skipped, libc::MADV_HUGEPAGE);
    }
}

/// A tensor of the processor, without a copy.
///
/// - `values`: `shape`, row-major
pub fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// The instructions and threads of every computation.
pub fn resources() -> (Level, Threads) {
    (Level::best(), Threads::all())
}
