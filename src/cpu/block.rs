//! One block of a file taken apart into whole numbers: what is stored, before any multiplication.

use crate::gguf::TensorType;

/// The longest block.
pub const MAX_BLOCK: usize = 256;
const MAX_SUBS: usize = 16;

/// The parts of a block, in the order of its weights.
#[derive(Debug)]
pub struct Block {
    /// Codes as stored, all bits joined; Q8_0 has its signed bytes.
    pub codes: [u8; MAX_BLOCK],
    /// Bits of an `f16`.
    pub d: u16,
    /// Bits of an `f16` whose multiple is subtracted.
    pub min: u16,
    /// Of each sub-block, where there are any: a signed scale, or two nibbles (Q2_K).
    pub scales: [u8; MAX_SUBS],
    pub mins: [u8; MAX_SUBS],
}

impl Block {
    pub fn new() -> Self {
        Block {
            codes: [0; MAX_BLOCK],
            d: 0,
            min: 0,
            scales: [0; MAX_SUBS],
            mins: [0; MAX_SUBS],
        }
    }

    /// Reads a block of a quantised type; `bytes` is one block of it.
    pub fn read(&mut self, tensor_type: TensorType, bytes: &[u8]) {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        self.d = half(0);
        match tensor_type {
            TensorType::Q4_0 | TensorType::IQ4_NL => self.nibbles(&bytes[2..]),
            TensorType::Q4_1 => {
                self.min = negative(half(2));
                self.nibbles(&bytes[4..]);
            }
            TensorType::Q5_0 => {
                self.nibbles(&bytes[6..]);
                self.fifth_bits(&bytes[2..]);
            }
            TensorType::Q5_1 => {
                self.min = negative(half(2));
                self.nibbles(&bytes[8..]);
                self.fifth_bits(&bytes[4..]);
            }
            TensorType::Q8_0 => self.codes[..32].copy_from_slice(&bytes[2..34]),
            TensorType::Q2_K => {
                self.scales.copy_from_slice(&bytes[..16]);
                self.crumbs(&bytes[16..]);
                (self.d, self.min) = (half(80), half(82));
            }
            TensorType::Q3_K => {
                self.crumbs(&bytes[32..]);
                for (at, code) in self.codes.iter_mut().enumerate() {
                    *code |= (bytes[at % 32] >> (at / 32) & 1) << 2;
                }
                for sub in 0..16 {
                    let low = bytes[96 + sub % 8] >> (sub / 8 * 4) & 0x0f;
                    let high = bytes[104 + sub % 4] >> (sub / 4 * 2) & 3;
                    self.scales[sub] = (low | high << 4).wrapping_sub(32);
                }
                self.d = half(108);
            }
            TensorType::Q4_K => {
                self.min = half(2);
                self.six_bit_scales(&bytes[4..]);
                self.quarters(&bytes[16..]);
            }
            TensorType::Q5_K => {
                self.min = half(2);
                self.six_bit_scales(&bytes[4..]);
                self.quarters(&bytes[48..]);
                for (at, code) in self.codes.iter_mut().enumerate() {
                    *code |= (bytes[16 + at % 32] >> (at / 32) & 1) << 4;
                }
            }
            TensorType::Q6_K => {
                for (at, code) in self.codes.iter_mut().enumerate() {
                    let (half, group, l) = (at / 128, at % 128 / 32, at % 32);
                    let low = bytes[half * 64 + group % 2 * 32 + l] >> (group / 2 * 4) & 0x0f;
                    let high = bytes[128 + half * 32 + l] >> (group * 2) & 3;
                    *code = low | high << 4;
                }
                self.scales.copy_from_slice(&bytes[192..208]);
                self.d = half(208);
            }
            TensorType::IQ4_XS => {
                let high_bits = half(2);
                for sub in 0..8 {
                    let low = bytes[4 + sub / 2] >> (sub % 2 * 4) & 0x0f;
                    let high = (high_bits >> (sub * 2)) as u8 & 3;
                    self.scales[sub] = (low | high << 4).wrapping_sub(32);
                    for l in 0..16 {
                        let byte = bytes[8 + sub * 16 + l];
                        self.codes[sub * 32 + l] = byte & 0x0f;
                        self.codes[sub * 32 + l + 16] = byte >> 4;
                    }
                }
            }
            // No blocks: `Format::of` has none for these.
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => {}
        }
    }

    /// 32 codes: byte `l` holds code `l` (low) and `l + 16` (high).
    fn nibbles(&mut self, bytes: &[u8]) {
        let (low, high) = self.codes.split_at_mut(16);
        for ((byte, low), high) in bytes[..16].iter().zip(low).zip(high) {
            *low = byte & 0x0f;
            *high = byte >> 4;
        }
    }

    /// Bit 4 of 32 codes: code `i` at bit `i`.
    fn fifth_bits(&mut self, bytes: &[u8]) {
        for (at, code) in self.codes[..32].iter_mut().enumerate() {
            *code |= (bytes[at / 8] >> (at % 8) & 1) << 4;
        }
    }

    /// 256 codes of two bits: byte `l` of a half holds codes `l`, `l + 32`, `l + 64`, `l + 96`.
    fn crumbs(&mut self, bytes: &[u8]) {
        for (at, code) in self.codes.iter_mut().enumerate() {
            *code = bytes[at / 128 * 32 + at % 32] >> (at % 128 / 32 * 2) & 3;
        }
    }

    /// 256 codes of four bits: byte `l` of a quarter holds codes `l` (low) and `l + 32` (high).
    fn quarters(&mut self, bytes: &[u8]) {
        for (codes, bytes) in self.codes.chunks_exact_mut(64).zip(bytes.chunks_exact(32)) {
            let (low, high) = codes.split_at_mut(32);
            for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
                *low = byte & 0x0f;
                *high = byte >> 4;
            }
        }
    }

    /// Eight scales and minima of six bits in 12 bytes, as Q4_K and Q5_K pack them.
    fn six_bit_scales(&mut self, packed: &[u8]) {
        for i in 0..4 {
            self.scales[i] = packed[i] & 63;
            self.mins[i] = packed[i + 4] & 63;
            self.scales[i + 4] = packed[i + 8] & 0x0f | packed[i] >> 6 << 4;
            self.mins[i + 4] = packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4;
        }
    }
}

/// The `f16` with the other sign.
fn negative(half: u16) -> u16 {
    half ^ 0x8000
}
