//! Packed matrices against the host's decoder, which is bit-equal to ggml's.

use proptest::prelude::*;

use super::*;
use crate::{
    gguf::dequantize,
    kernels::{
        Weight,
        testing::{assert_close, packed, random_blocks},
    },
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(45))]

    #[test]
    fn every_format_is_decoded_as_on_the_host(
        which in 0usize..TensorType::ALL.len(), n in 1usize..150, blocks_per_row in 1usize..5, seed: u64,
    ) {
        let tensor_type = TensorType::ALL[which];
        // Rows of F16 need not be multiples of 32.
        let k = blocks_per_row * tensor_type.block_elements().max(27);
        let k = k / tensor_type.block_elements() * tensor_type.block_elements();
        let bytes = random_blocks(tensor_type, n * k / tensor_type.block_elements(), seed);
        let mut needed = vec![0.0; n * k];
        dequantize(tensor_type, &bytes, &mut needed).expect("whole blocks");
        let weight = packed(&[(tensor_type, [n, k], &bytes)]);
        let needed: Vec<f64> = needed.into_iter().map(f64::from).collect();
        assert_close(weight.dense(), &needed, 1e-6);
        // Some rows, out of order and repeated.
        let rows = [n as u32 - 1, 0, n as u32 / 2, n as u32 - 1];
        let of_rows: Vec<f64> =
            rows.iter().flat_map(|row| &needed[*row as usize * k..][..k]).copied().collect();
        assert_close(weight.rows(&rows), &of_rows, 1e-6);
    }
}

#[test]
fn rows_are_found_in_every_part_of_a_matrix_that_was_split() {
    // Seven parts of two panels: more than one launch binds.
    const ROWS: usize = 128;
    let (n, k) = (7 * ROWS - 10, 64);
    let bytes = random_blocks(TensorType::Q4_0, n * k / 32, 7);
    let whole = packed(&[(TensorType::Q4_0, [n, k], &bytes)]);
    let Weight::Packed(matrices) = &whole else {
        panic!("packed on a graphics device")
    };
    let [whole_matrix] = &matrices[..] else {
        panic!("one matrix")
    };
    let panel = row_words(TensorType::Q4_0, k) * PANEL_ROWS / 4;
    let parts = (0..n).step_by(ROWS).enumerate().map(|(i, first)| Part {
        buffer: i,
        first: i * (ROWS / PANEL_ROWS) * panel,
        n_rows: ROWS.min(n - first),
        ..whole_matrix.parts[0].clone()
    });
    let split = Packed {
        parts: parts.collect(),
        ..whole_matrix.clone()
    };
    let rows: Vec<u32> = (0..40).map(|i| (i * 331) % n as u32).collect();
    let needed = pollster::block_on(whole.rows(&rows).into_data_async()).expect("a read");
    let needed: Vec<f32> = needed.try_to_vec().expect("f32");
    let needed: Vec<f64> = needed.into_iter().map(f64::from).collect();
    assert_close(split.rows(&rows), &needed, 0.0);
}

#[test]
fn parts_fit_the_binding_that_every_device_offers() {
    for tensor_type in TensorType::ALL {
        for k in [2048, 11_008, 151_936] {
            let k = k / 256 * 256;
            let rows = rows_per_part(*tensor_type, k);
            let bytes = rows * row_words(*tensor_type, k) * size_of::<u32>();
            assert!(
                bytes <= MAX_PART_BYTES,
                "{} x {k}: {bytes}",
                tensor_type.name()
            );
            assert!(rows.is_multiple_of(PANEL_ROWS));
        }
    }
}
