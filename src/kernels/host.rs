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
