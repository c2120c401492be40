//! Rows of a file's blocks, in file order, to panels of planes.

use crate::gguf::TensorType;

use super::layout::{PANEL_ROWS, blocks, padded_rows, planes, words_per_plane};

/// Turns the bytes of a matrix into panels, 64 rows at a time.
pub struct Packer {
    tensor_type: TensorType,
    k: usize,
    /// Rows whose bytes have not come, those of the padding among them.
    rows_left: usize,
    padded_left: usize,
    row_bytes: usize,
    /// Bytes that do not fill a panel yet.
    pending: Vec<u8>,
}

impl Packer {
    /// - `shape`: `[N, K]`
    pub fn new(tensor_type: TensorType, [n, k]: [usize; 2]) -> Self {
        let row_bytes = k / tensor_type.block_elements() * tensor_type.block_bytes();
        Self {
            tensor_type,
            k,
            rows_left: n,
            padded_left: padded_rows(n),
            row_bytes,
            pending: Vec::new(),
        }
    }

    /// Takes the next bytes in file order and hands over every panel that became whole.
    pub fn push(&mut self, bytes: &[u8], mut on_panel: impl FnMut(Vec<u32>)) {
        self.pending.extend_from_slice(bytes);
        let mut taken = 0;
        while self.rows_left > 0 {
            let n_rows = self.rows_left.min(PANEL_ROWS);
            let end = taken + n_rows * self.row_bytes;
            if self.pending.len() < end {
                break;
            }
            let height = self.padded_left.min(PANEL_ROWS);
            on_panel(self.panel(&self.pending[taken..end], height));
            taken = end;
            self.rows_left -= n_rows;
            self.padded_left -= height;
        }
        self.pending.drain(..taken);
    }

    fn panel(&self, bytes: &[u8], height: usize) -> Vec<u32> {
        let mut panel = Panel::new(self.tensor_type, self.k, height);
        for (r, row) in bytes.chunks_exact(self.row_bytes).enumerate() {
            panel.row = r;
            pack_row(self.tensor_type, row, &mut panel);
        }
        panel.words
    }
}

/// The words of a panel under way.
struct Panel {
    words: Vec<u32>,
    height: usize,
    /// First word and words a unit of each plane.
    planes: Vec<(usize, usize)>,
    row: usize,
}

impl Panel {
    fn new(tensor_type: TensorType, k: usize, height: usize) -> Self {
        let mut first = 0;
        let mut starts = Vec::new();
        for (plane, words) in planes(tensor_type)
            .iter()
            .zip(words_per_plane(tensor_type, k))
        {
            starts.push((first, plane.words));
            first += words * height;
        }
        Self {
            words: vec![0; first],
            height,
            planes: starts,
            row: 0,
        }
    }

    fn place(&self, plane: usize, unit: usize, word: usize) -> usize {
        let (first, width) = self.planes[plane];
        match width.is_multiple_of(4) {
            true => {
                first + ((unit * (width / 4) + word / 4) * self.height + self.row) * 4 + word % 4
            }
            false => first + (unit * width + word) * self.height + self.row,
        }
    }

    fn put(&mut self, plane: usize, unit: usize, word: usize, value: u32) {
        let place = self.place(plane, unit, word);
        self.words[place] = value;
    }

    /// The bytes of a unit, from its first word.
    fn put_bytes(&mut self, plane: usize, unit: usize, bytes: &[u8]) {
        for (word, value) in bytes.chunks(4).enumerate() {
            self.put(plane, unit, word, little_endian(value));
        }
    }

    /// The low or the high half of a word, by the parity of the block.
    fn put_half(&mut self, plane: usize, block: usize, half: &[u8]) {
        let place = self.place(plane, block / 2, 0);
        self.words[place] |= little_endian(half) << (16 * (block % 2));
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Codes of 32 values, four bits each, as Q4_0 keeps them: value i in the low half of byte i,
/// value i + 16 in its high half.
fn nibbles(code: impl Fn(usize) -> u8) -> [u8; 16] {
    std::array::from_fn(|i| code(i) & 15 | code(i + 16) << 4)
}

/// Codes of 32 values, two bits each: value 8 j + i in bits 2 j of byte i.
fn pairs_of_bits(code: impl Fn(usize) -> u8) -> [u8; 8] {
    std::array::from_fn(|i| (0..4).fold(0, |byte, j| byte | (code(8 * j + i) & 3) << (2 * j)))
}

/// One bit of each of 32 values, value i in bit i.
fn bits(code: impl Fn(usize) -> u8) -> u32 {
    (0..32).fold(0, |word, i| word | u32::from(code(i) & 1) << i)
}

/// Block structures: ggml's `block_q4_0` and so on, which gguf::dequantize states one by one.
fn pack_row(tensor_type: TensorType, row: &[u8], panel: &mut Panel) {
    let chunks = row.chunks_exact(tensor_type.block_bytes()).enumerate();
    match tensor_type {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => {
            let unit_bytes = 32 * tensor_type.block_bytes();
            debug_assert!(
                row.len().div_ceil(unit_bytes) == blocks(row.len() / tensor_type.block_bytes())
            );
            for (unit, bytes) in row.chunks(unit_bytes).enumerate() {
                panel.put_bytes(0, unit, bytes);
            }
        }
        TensorType::Q4_0 | TensorType::IQ4_NL | TensorType::Q8_0 => {
            for (b, block) in chunks {
                panel.put_half(1, b, &block[..2]);
                panel.put_bytes(0, b, &block[2..]);
            }
        }
        TensorType::Q4_1 => {
            for (b, block) in chunks {
                panel.put_bytes(1, b, &block[..4]);
                panel.put_bytes(0, b, &block[4..]);
            }
        }
        TensorType::Q5_0 => {
            for (b, block) in chunks {
                panel.put_half(2, b, &block[..2]);
                panel.put_bytes(1, b, &block[2..6]);
                panel.put_bytes(0, b, &block[6..]);
            }
        }
        TensorType::Q5_1 => {
            for (b, block) in chunks {
                panel.put_bytes(2, b, &block[..4]);
                panel.put_bytes(1, b, &block[4..8]);
                panel.put_bytes(0, b, &block[8..]);
            }
        }
        TensorType::Q4_K | TensorType::Q5_K => {
            let has_fifth = tensor_type == TensorType::Q5_K;
            for (b, block) in chunks {
                panel.put_bytes(if has_fifth { 2 } else { 1 }, b, &block[..16]);
                let codes = &block[if has_fifth { 48 } else { 16 }..];
                for part in 0..8 {
                    // Two parts share 32 bytes, one in the low halves, one in the high.
                    let bytes = &codes[part / 2 * 32..][..32];
                    let codes = nibbles(|i| bytes[i] >> (4 * (part % 2)));
                    panel.put_bytes(0, b * 8 + part, &codes);
                    if has_fifth {
                        panel.put(1, b * 8 + part, 0, bits(|i| block[16 + i] >> part));
                    }
                }
            }
        }
        TensorType::Q6_K => {
            for (b, block) in chunks {
                panel.put_bytes(2, b, &block[192..208]);
                panel.put_bytes(3, b, &block[208..210]);
                for part in 0..8 {
                    let (half, quarter) = (part / 4, part % 4);
                    let low = &block[half * 64 + quarter % 2 * 32..][..32];
                    let high = &block[128 + half * 32..][..32];
                    let codes = nibbles(|i| low[i] >> (4 * (quarter / 2)));
                    panel.put_bytes(0, b * 8 + part, &codes);
                    let high_bits = pairs_of_bits(|i| high[i] >> (2 * quarter));
                    panel.put_bytes(1, b * 8 + part, &high_bits);
                }
            }
        }
        TensorType::IQ4_XS => {
            for (b, block) in chunks {
                panel.put_bytes(1, b, &block[..8]);
                for part in 0..8 {
                    panel.put_bytes(0, b * 8 + part, &block[8 + 16 * part..][..16]);
                }
            }
        }
        TensorType::Q2_K => {
            for (b, block) in chunks {
                panel.put_bytes(1, b, &block[..16]);
                panel.put_bytes(2, b, &block[80..84]);
                for part in 0..8 {
                    let bytes = &block[16 + part / 4 * 32..][..32];
                    let codes = pairs_of_bits(|i| bytes[i] >> (2 * (part % 4)));
                    panel.put_bytes(0, b * 8 + part, &codes);
                }
            }
        }
        TensorType::Q3_K => {
            for (b, block) in chunks {
                panel.put_bytes(2, b, &block[96..108]);
                panel.put_bytes(3, b, &block[108..110]);
                for part in 0..8 {
                    let bytes = &block[32 + part / 4 * 32..][..32];
                    let codes = pairs_of_bits(|i| bytes[i] >> (2 * (part % 4)));
                    panel.put_bytes(0, b * 8 + part, &codes);
                    panel.put(1, b * 8 + part, 0, bits(|i| block[i] >> part));
                }
            }
        }
    }
}
