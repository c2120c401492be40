//! What the tests of the kernels share.

use std::sync::OnceLock;

use burn::tensor::{Device as BurnDevice, Tensor, TensorData};

use super::Kernels;
use crate::Device;

/// A device on which this form of the operations runs; the graphics device is one for all tests.
pub fn device(kernels: Kernels) -> BurnDevice {
    static GPU: OnceLock<Device> = OnceLock::new();
    match kernels {
        Kernels::Portable => Device::cpu().burn().clone(),
        Kernels::Tiled | Kernels::Direct => GPU
            .get_or_init(|| {
                pollster::block_on(Device::gpu())
                    .expect("a Vulkan adapter (Debian: mesa-vulkan-drivers)")
            })
            .burn()
            .clone(),
    }
}

/// Numbers in `-magnitude..magnitude` that depend on the seed alone (a linear congruence).
pub fn numbers(seed: u64, n: usize, magnitude: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * magnitude
        })
        .collect()
}

/// Values as a tensor.
pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &BurnDevice) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// Fails unless every number is within `tolerance` of the largest magnitude needed.
pub fn assert_close(found: Tensor<2>, needed: &[f64], tolerance: f64) {
    let data = pollster::block_on(found.into_data_async()).expect("a read");
    let found: Vec<f32> = data.try_to_vec().expect("f32");
    assert_eq!(found.len(), needed.len());
    let scale = needed
        .iter()
        .fold(0.0f64, |scale, value| scale.max(value.abs()));
    for (place, (found, needed)) in found.iter().zip(needed).enumerate() {
        let error = (f64::from(*found) - needed).abs();
        assert!(
            error <= tolerance * scale,
            "element {place}: needed {needed}, found {found}; {error:.3e} of {scale:.3e}"
        );
    }
}
