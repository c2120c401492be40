//! What the tests of the kernels share.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use burn::tensor::{DType, Device as BurnDevice, Tensor, TensorData};

use super::{Kernels, Packed, Packer, Part, Weight};
use crate::{
    Device, cpu,
    gguf::{TensorType, dequantize},
};

/// The graphics device, one for all tests.
fn gpu() -> &'static Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(|| {
        pollster::block_on(Device::gpu()).expect("a Vulkan adapter (Debian: mesa-vulkan-drivers)")
    })
}

/// A device on which this form of the operations runs.
pub fn device(kernels: Kernels) -> BurnDevice {
    match kernels {
        Kernels::Portable | Kernels::Host => Device::cpu().burn().clone(),
        Kernels::Gpu(_) => gpu().burn().clone(),
    }
}

/// Whether the graphics device computes in halves.
pub fn shader_f16() -> bool {
    gpu().info().shader_f16
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

/// Blocks of random codes whose scales are sane halves: a random half may be infinite.
pub fn random_blocks(tensor_type: TensorType, n_blocks: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let mut bytes: Vec<u8> = (0..n_blocks * tensor_type.block_bytes())
        .map(|_| next())
        .collect();
    // Where each format keeps its halves (bf16 for BF16).
    let halves: &[usize] = match tensor_type {
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::F32 => &[2],
        _ => &[0],
    };
    for block in bytes.chunks_mut(tensor_type.block_bytes()) {
        for at in halves {
            // The exponent's top bits cleared: below 2 in both half formats, zero among them.
            block[at + 1] &= 0b1011_1111;
        }
    }
    bytes
}

/// The matrices, one after the other in one buffer of the graphics device.
pub fn packed(matrices: &[(TensorType, [usize; 2], &[u8])]) -> Weight {
    let mut words: Vec<u32> = Vec::new();
    let mut firsts = Vec::new();
    for (tensor_type, shape, bytes) in matrices {
        firsts.push(words.len() / 4);
        let mut packer = Packer::new(*tensor_type, *shape);
        // Pieces of odd length, as a network delivers them.
        for piece in bytes.chunks(997) {
            packer.push(piece, |panel| words.extend(panel));
        }
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let buffer = NEXT.fetch_add(1, Ordering::Relaxed);
    let n_words = words.len();
    let device = device(Kernels::TILED);
    let words = Tensor::from_data(TensorData::new(words, [n_words]), (&device, DType::U32));
    let matrices = matrices.iter().zip(firsts);
    let matrices = matrices.map(|((tensor_type, shape, _), first)| Packed {
        parts: vec![Part {
            words: words.clone(),
            buffer,
            first,
            n_rows: shape[0],
        }],
        tensor_type: *tensor_type,
        shape: *shape,
    });
    Weight::Packed(matrices.collect())
}

/// A matrix as its blocks and as numbers.
pub struct Matrix {
    pub tensor_type: TensorType,
    pub shape: [usize; 2],
    pub bytes: Vec<u8>,
    pub values: Vec<f32>,
}

impl Matrix {
    pub fn random(tensor_type: TensorType, shape: [usize; 2], seed: u64) -> Self {
        let n_blocks = shape[0] * shape[1] / tensor_type.block_elements();
        let bytes = random_blocks(tensor_type, n_blocks, seed);
        let mut values = vec![0.0; shape[0] * shape[1]];
        dequantize(tensor_type, &bytes, &mut values).expect("whole blocks");
        Self {
            tensor_type,
            shape,
            bytes,
            values,
        }
    }
}

/// Matrices as a form of the operations holds them.
pub fn weight(kernels: Kernels, matrices: &[&Matrix]) -> Weight {
    if kernels == Kernels::Portable {
        let device = device(kernels);
        let parts = matrices
            .iter()
            .map(|matrix| tensor(&matrix.values, matrix.shape, &device));
        return Weight::Dense(parts.collect());
    }
    if kernels == Kernels::Host {
        let parts = matrices.iter().map(|matrix| host(matrix));
        return Weight::stacked(parts.collect());
    }
    let matrices: Vec<_> = matrices
        .iter()
        .map(|matrix| (matrix.tensor_type, matrix.shape, &matrix.bytes[..]))
        .collect();
    packed(&matrices)
}

/// The matrix in its blocks on the processor.
fn host(matrix: &Matrix) -> Weight {
    let mut builder =
        cpu::MatrixBuilder::new(matrix.tensor_type, matrix.shape).expect("whole blocks");
    builder.push(&matrix.bytes).expect("not too many");
    builder.finish().expect("all").into()
}

/// `x [m, k] · wᵀ`, w of several matrices: `[m, Σ n]`
pub fn product(x: &[f64], matrices: &[&Matrix], k: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for x in x.chunks(k) {
        for w in matrices.iter().flat_map(|matrix| matrix.values.chunks(k)) {
            y.push(x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum());
        }
    }
    y
}

pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
