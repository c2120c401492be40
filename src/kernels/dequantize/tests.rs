//! The kernel against the host's decoder, which is bit-equal to ggml's.

use burn::tensor::DType;
use proptest::prelude::*;

use super::*;
use crate::{
    gguf::dequantize,
    kernels::{
        Kernels,
        testing::{assert_close, device},
    },
};

/// Blocks of random codes whose scales are sane halves: a random half may be infinite.
fn random_blocks(tensor_type: TensorType, n_blocks: usize, seed: u64) -> Vec<u8> {
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

fn upload(bytes: &[u8]) -> Tensor<1, Int> {
    let words: Vec<u32> = bytes
        .chunks(4)
        .map(|word| {
            word.iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u32::from(*byte))
        })
        .collect();
    let n_words = words.len();
    let data = TensorData::new(words, [n_words]);
    Tensor::from_data(data, (&device(Kernels::Tiled), DType::U32))
}

const QUANTISED: [TensorType; 14] = [
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::IQ4_NL,
    TensorType::IQ4_XS,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(42))]

    #[test]
    fn every_format_is_decoded_as_on_the_host(
        which in 0usize..QUANTISED.len(), n in 1usize..40, blocks_per_row in 1usize..5, seed: u64,
    ) {
        let tensor_type = QUANTISED[which];
        // Rows of F16 need not be multiples of 32.
        let k = blocks_per_row * tensor_type.block_elements().max(27);
        let k = k / tensor_type.block_elements() * tensor_type.block_elements();
        let bytes = random_blocks(tensor_type, n * k / tensor_type.block_elements(), seed);
        let mut needed = vec![0.0; n * k];
        dequantize(tensor_type, &bytes, &mut needed).expect("whole blocks");
        let blocks = Blocks { words: upload(&bytes), tensor_type, shape: [n, k] };
        let needed: Vec<f64> = needed.into_iter().map(f64::from).collect();
        assert_close(blocks.dense(), &needed, 1e-6);
        // Some rows, out of order and repeated.
        let rows = [n as u32 - 1, 0, n as u32 / 2, n as u32 - 1];
        let of_rows: Vec<f64> =
            rows.iter().flat_map(|row| &needed[*row as usize * k..][..k]).copied().collect();
        assert_close(blocks.rows(&rows), &of_rows, 1e-6);
    }
}
