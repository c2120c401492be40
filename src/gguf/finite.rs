//! Whether the blocks of a tensor hold finite numbers, without decoding them.
//!
//! In every block format the codes and the small integer scales are bounded, so a value can only
//! fail to be finite through one of the block's floating-point numbers.

use super::tensor::TensorType;

/// The first block that decodes to an infinity or a NaN, if one does.
///
/// - `bytes`: whole blocks; bytes past the last whole one are not looked at
pub fn first_not_finite(tensor_type: TensorType, bytes: &[u8]) -> Option<usize> {
    // An exponent of all ones is an infinity or a NaN.
    let half = |block: &[u8], at: usize| block[at + 1] & 0x7c == 0x7c;
    let wide = |high: u8, low: u8| high & 0x7f == 0x7f && low & 0x80 != 0;
    let is_bad = |block: &[u8]| match tensor_type {
        TensorType::F32 => wide(block[3], block[2]),
        TensorType::BF16 => wide(block[1], block[0]),
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => {
            half(block, 0) || half(block, 2)
        }
        TensorType::Q2_K => half(block, 80) || half(block, 82),
        TensorType::Q3_K => half(block, 108),
        TensorType::Q6_K => half(block, 208),
        TensorType::F16
        | TensorType::Q4_0
        | TensorType::Q5_0
        | TensorType::Q8_0
        | TensorType::IQ4_NL
        | TensorType::IQ4_XS => half(block, 0),
    };
    bytes
        .chunks_exact(tensor_type.block_bytes())
        .position(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::dequantize;

    #[test]
    fn agrees_with_the_decoder_for_any_bytes_of_every_format() {
        let mut state = 7u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Many bytes with all exponent bits set, so that infinities are common.
            let byte = (state >> 33) as u8;
            if state >> 60 < 4 {
                byte | 0x7c
            } else {
                byte & 0xbf
            }
        };
        for tensor_type in TensorType::ALL {
            let n_blocks = 400;
            let mut n_bad = 0;
            for _ in 0..n_blocks {
                let bytes: Vec<u8> = (0..tensor_type.block_bytes()).map(|_| next()).collect();
                let mut values = vec![0.0; tensor_type.block_elements()];
                dequantize(*tensor_type, &bytes, &mut values).expect("a whole block");
                let is_finite = values.iter().all(|value| value.is_finite());
                assert_eq!(first_not_finite(*tensor_type, &bytes).is_none(), is_finite);
                n_bad += usize::from(!is_finite);
            }
            assert!(
                0 < n_bad && n_bad < n_blocks,
                "{}: {n_bad}",
                tensor_type.name()
            );
        }
    }
}
