//! Blocks to `f32`, bit for bit as ggml does it.
//!
//! Every factor is an `f16` scale (11 bits) times at most two small integers (up to 13 bits
//! together), so each product is exact in `f32` and only the last sum rounds. Order of
//! multiplication and fused multiply-add therefore cannot change a bit.
//!
//! Letters: `d` scale of a block, `m` or `dmin` its minimum, `q` a packed weight, `l` its place in
//! a group.

mod k_quants;
mod plain;

use half::f16;

use super::error::Error;
use super::tensor::TensorType;

/// Converts whole blocks of `tensor_type` to `f32`.
///
/// - `bytes`: `out.len() / block_elements` blocks
/// - `out`: one value per element, in the order of the tensor
///
/// Fails, with `out` untouched, unless both lengths describe the same number of whole blocks.
pub fn dequantize(tensor_type: TensorType, bytes: &[u8], out: &mut [f32]) -> Result<(), Error> {
    check_lengths(tensor_type, bytes.len(), out.len())?;
    match tensor_type {
        TensorType::F32 => blocks(bytes, out, plain::f32),
        TensorType::F16 => blocks(bytes, out, plain::f16),
        TensorType::BF16 => blocks(bytes, out, plain::bf16),
        TensorType::Q8_0 => blocks(bytes, out, plain::q8_0),
        TensorType::Q4_0 => blocks(bytes, out, plain::q4_0),
        TensorType::Q4_1 => blocks(bytes, out, plain::q4_1),
        TensorType::Q5_0 => blocks(bytes, out, plain::q5_0),
        TensorType::Q5_1 => blocks(bytes, out, plain::q5_1),
        TensorType::IQ4_NL => blocks(bytes, out, plain::iq4_nl),
        TensorType::IQ4_XS => blocks(bytes, out, k_quants::iq4_xs),
        TensorType::Q2_K => blocks(bytes, out, k_quants::q2_k),
        TensorType::Q3_K => blocks(bytes, out, k_quants::q3_k),
        TensorType::Q4_K => blocks(bytes, out, k_quants::q4_k),
        TensorType::Q5_K => blocks(bytes, out, k_quants::q5_k),
        TensorType::Q6_K => blocks(bytes, out, k_quants::q6_k),
    }
    Ok(())
}

/// Fails unless `n_bytes` hold exactly `n_elements`, in whole blocks.
fn check_lengths(tensor_type: TensorType, n_bytes: usize, n_elements: usize) -> Result<(), Error> {
    let block_elements = tensor_type.block_elements();
    let Some(needed) = tensor_type.n_bytes(n_elements as u64) else {
        return Err(Error::NotBlocks {
            tensor_type,
            n_elements,
            block_elements,
        });
    };
    if needed != n_bytes as u64 {
        let needed = format!("{needed} bytes");
        return Err(Error::BlockBytes {
            tensor_type,
            n_elements,
            n_bytes,
            needed,
        });
    }
    Ok(())
}

/// Runs `decode` on every block: `BYTES` bytes to `ELEMENTS` values. The lengths are checked.
fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outs, _) = out.as_chunks_mut::<ELEMENTS>();
    for (block, out) in blocks.iter().zip(outs) {
        decode(block, out);
    }
}

/// The little-endian `f16` whose first byte is `block[at]`.
#[inline(always)]
fn half_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
