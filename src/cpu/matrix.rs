//! A matrix of weights in about the bytes of its file, in the order that the products read.
//!
//! Letters: N = rows, K = columns.

use half::{bf16, f16};

use crate::gguf::TensorType;

use super::{
    block::Block,
    error::Error,
    format::{Format, GROUP, SubScales, TILE},
};

/// ggml's non-linear 4-bit code: index to value.
pub(super) const TABLE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// A matrix `[N, K]` of any type that [`gguf`](crate::gguf) decodes.
#[derive(Debug)]
pub struct Matrix {
    tensor_type: TensorType,
    n: usize,
    k: usize,
    /// Tile after tile; rows that fill the last tile are zero.
    data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    /// Records of a [`Format`].
    Blocks(Format, Vec<u8>),
    /// `[K][TILE]`: F16 and BF16
    Halves(HalfKind, Vec<u16>),
    /// `[K][TILE]`: F32
    Floats(Vec<f32>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HalfKind {
    F16,
    Bf16,
}

impl HalfKind {
    pub fn to_f32(self, bits: u16) -> f32 {
        match self {
            HalfKind::F16 => f16::from_bits(bits).to_f32(),
            HalfKind::Bf16 => bf16::from_bits(bits).to_f32(),
        }
    }
}

impl Matrix {
    /// `[N, K]`
    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    /// How the file stores its elements.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Bytes of memory that it takes: those of the file, up to three in a hundred more for scales
    /// of six bits, with N filled up to a multiple of 32.
    pub fn memory_bytes(&self) -> usize {
        match &self.data {
            Data::Blocks(_, bytes) => bytes.len(),
            Data::Halves(_, halves) => size_of_val(&halves[..]),
            Data::Floats(floats) => size_of_val(&floats[..]),
        }
    }

    pub(super) fn data(&self) -> &Data {
        &self.data
    }

    /// Some rows in f32, the same bits as [`gguf::dequantize`](crate::gguf::dequantize) gives.
    ///
    /// - `rows`: each below N
    /// - `out`: `[rows.len(), K]`
    ///
    /// # Panics
    ///
    /// Where a row or the length of `out` is not what it must be.
    pub fn rows(&self, rows: &[u32], out: &mut [f32]) {
        assert_eq!(
            out.len(),
            rows.len() * self.k,
            "elements of {} rows",
            rows.len()
        );
        if self.k == 0 {
            return;
        }
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(self.k)) {
            let row = *row as usize;
            assert!(row < self.n, "row {row} of a matrix of {} rows", self.n);
            self.row(row, out);
        }
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let (tile, lane) = (row / TILE, row % TILE);
        let first = tile * self.k * TILE + lane;
        match &self.data {
            Data::Floats(floats) => {
                let column = floats[first..].iter().step_by(TILE);
                out.iter_mut()
                    .zip(column)
                    .for_each(|(out, value)| *out = *value);
            }
            Data::Halves(kind, halves) => {
                let column = halves[first..].iter().step_by(TILE);
                out.iter_mut()
                    .zip(column)
                    .for_each(|(out, bits)| *out = kind.to_f32(*bits));
            }
            Data::Blocks(format, bytes) => {
                let tile_bytes = self.k / format.block * format.record_bytes();
                let records = bytes[tile * tile_bytes..].chunks_exact(format.record_bytes());
                for (record, out) in records.zip(out.chunks_exact_mut(format.block)) {
                    decode_lane(format, record, lane, out);
                }
            }
        }
    }
}

/// The weights of one row of a record.
fn decode_lane(format: &Format, record: &[u8], lane: usize, out: &mut [f32]) {
    let half = |plane: usize| {
        let at = format.halves_at() + (plane * TILE + lane) * 2;
        f16::from_le_bytes([record[at], record[at + 1]]).to_f32()
    };
    let byte = |plane: usize| record[format.sub_scales_at() + plane * TILE + lane];
    let d = half(0);
    let dmin = if format.has_min { half(1) } else { 0.0 };
    let n_subs = format.n_subs();
    for (sub, out) in out.chunks_exact_mut(format.sub).enumerate() {
        let (scale, min) = match format.sub_scales {
            SubScales::None => (1.0, 1.0),
            SubScales::Nibbles => (f32::from(byte(sub) & 0x0f), f32::from(byte(sub) >> 4)),
            SubScales::Bytes if format.has_min => (
                f32::from(byte(sub) as i8),
                f32::from(byte(n_subs + sub) as i8),
            ),
            SubScales::Bytes => (f32::from(byte(sub) as i8), 0.0),
        };
        let (scale, min) = (d * scale, dmin * min);
        for (l, out) in out.iter_mut().enumerate() {
            let q = f32::from(code(format, record, lane, sub * format.sub + l));
            // Without a minimum nothing is subtracted, so that a zero keeps its sign.
            *out = match format.has_min {
                true => scale * q - min,
                false => scale * q,
            };
        }
    }
}

/// The whole number that weight `at` of a record stands for.
fn code(format: &Format, record: &[u8], lane: usize, at: usize) -> i16 {
    let (group, l) = (at / GROUP, at % GROUP);
    let plane = |from: usize, bits: usize| {
        let word = place(bits, lane, l);
        let at = group * format.group_bytes() + from + word.byte;
        record[at] >> word.bit & (((1u16 << bits) - 1) as u8)
    };
    let low = plane(0, format.low_bits);
    if format.low_bits == 8 {
        return i16::from(low as i8);
    }
    let high = match format.high_bits {
        0 => 0,
        bits => plane(low_plane_bytes(format), bits),
    };
    let q = low | high << format.low_bits;
    match format.has_table {
        true => i16::from(TABLE[usize::from(q)]),
        false => i16::from(q) - format.offset,
    }
}

fn low_plane_bytes(format: &Format) -> usize {
    format.low_bits * GROUP / 8 * TILE
}

/// Where weight `l` of a group lies in a plane of so many bits.
struct Place {
    byte: usize,
    bit: usize,
}

fn place(bits: usize, lane: usize, l: usize) -> Place {
    let (pair, odd) = (l / 2, l % 2);
    let pairs_per_word = 16 / bits;
    let (word, s) = (pair / pairs_per_word, pair % pairs_per_word);
    let bit = s * bits;
    Place {
        byte: (word * TILE + lane) * 4 + odd * 2 + bit / 8,
        bit: bit % 8,
    }
}

/// Fills a matrix from the bytes of its tensor, in file order.
#[derive(Debug)]
pub struct MatrixBuilder {
    matrix: Matrix,
    /// Bytes of the blocks that the matrix has, and of those read so far.
    n_bytes: usize,
    n_read: usize,
    /// The beginning of a block whose end has not come yet.
    pending: Vec<u8>,
    block: Box<Block>,
}

impl MatrixBuilder {
    /// Takes the memory of a matrix `[n, k]`.
    ///
    /// Fails where `k` is not whole blocks, and where the memory is not there.
    pub fn new(tensor_type: TensorType, [n, k]: [usize; 2]) -> Result<Self, Error> {
        let block_elements = tensor_type.block_elements();
        if !k.is_multiple_of(block_elements) {
            return Err(Error::NotBlocks {
                tensor_type,
                k,
                block_elements,
            });
        }
        let too_large = Error::OutOfMemory {
            tensor_type,
            shape: [n, k],
        };
        let n_blocks = n.checked_mul(k / block_elements);
        let n_bytes = n_blocks.and_then(|n| n.checked_mul(tensor_type.block_bytes()));
        let per_column = n.checked_next_multiple_of(TILE);
        let n_padded = per_column.and_then(|n| n.checked_mul(k));
        let (Some(n_bytes), Some(n_padded)) = (n_bytes, n_padded) else {
            return Err(too_large);
        };
        let data = match (Format::of(tensor_type), tensor_type) {
            (Some(format), _) => {
                let n_records = n_padded / TILE / format.block;
                let Some(n_bytes) = n_records.checked_mul(format.record_bytes()) else {
                    return Err(too_large);
                };
                zeros(n_bytes).map(|bytes| Data::Blocks(format, bytes))
            }
            (None, TensorType::F16) => zeros(n_padded).map(|all| Data::Halves(HalfKind::F16, all)),
            (None, TensorType::BF16) => {
                zeros(n_padded).map(|all| Data::Halves(HalfKind::Bf16, all))
            }
            (None, _) => zeros(n_padded).map(Data::Floats),
        };
        let Some(data) = data else {
            return Err(too_large);
        };
        Ok(Self {
            matrix: Matrix {
                tensor_type,
                n,
                k,
                data,
            },
            n_bytes,
            n_read: 0,
            pending: Vec::new(),
            block: Box::new(Block::new()),
        })
    }

    /// The next bytes, as many as there are.
    ///
    /// Fails where they are more than the matrix has.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let block_bytes = self.matrix.tensor_type.block_bytes();
        let n_left = self.n_bytes - self.n_read - self.pending.len();
        if bytes.len() > n_left {
            return Err(self.wrong_length(self.n_bytes + bytes.len() - n_left));
        }
        if !self.pending.is_empty() {
            let n_missing = (block_bytes - self.pending.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(n_missing);
            self.pending.extend_from_slice(head);
            bytes = rest;
            if self.pending.len() == block_bytes {
                let pending = std::mem::take(&mut self.pending);
                self.take(&pending);
            }
        }
        let n_whole = bytes.len() / block_bytes * block_bytes;
        self.take(&bytes[..n_whole]);
        self.pending.extend_from_slice(&bytes[n_whole..]);
        Ok(())
    }

    /// The matrix.
    ///
    /// Fails where bytes are missing.
    pub fn finish(self) -> Result<Matrix, Error> {
        match self.n_read == self.n_bytes {
            true => Ok(self.matrix),
            false => Err(self.wrong_length(self.n_read + self.pending.len())),
        }
    }

    fn wrong_length(&self, found: usize) -> Error {
        Error::WrongLength {
            tensor_type: self.matrix.tensor_type,
            shape: self.matrix.shape(),
            needed: self.n_bytes,
            found,
        }
    }

    /// Whole blocks.
    fn take(&mut self, bytes: &[u8]) {
        let Matrix { tensor_type, k, .. } = self.matrix;
        let block_bytes = tensor_type.block_bytes();
        let mut at = self.n_read / block_bytes * tensor_type.block_elements();
        self.n_read += bytes.len();
        for bytes in bytes.chunks_exact(block_bytes) {
            let (row, column) = (at / k, at % k);
            let (tile, lane) = (row / TILE, row % TILE);
            match &mut self.matrix.data {
                Data::Floats(floats) => {
                    let value = [bytes[0], bytes[1], bytes[2], bytes[3]];
                    floats[(tile * k + column) * TILE + lane] = f32::from_le_bytes(value);
                }
                Data::Halves(_, halves) => {
                    let value = u16::from_le_bytes([bytes[0], bytes[1]]);
                    halves[(tile * k + column) * TILE + lane] = value;
                }
                Data::Blocks(format, records) => {
                    let n_bytes = format.record_bytes();
                    let record = (tile * k + column) / format.block;
                    let record = &mut records[record * n_bytes..][..n_bytes];
                    self.block.read(tensor_type, bytes);
                    encode_lane(format, &self.block, record, lane);
                }
            }
            at += tensor_type.block_elements();
        }
    }
}

/// Memory of so many zeros, if there is as much.
fn zeros<T: Copy + Default>(n: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(n).ok()?;
    all.resize(n, T::default());
    Some(all)
}

/// Puts one block into its lane of a record.
fn encode_lane(format: &Format, block: &Block, record: &mut [u8], lane: usize) {
    for group in 0..format.block / GROUP {
        let codes = &block.codes[group * GROUP..][..GROUP];
        let words = &mut record[group * format.group_bytes()..][..format.group_bytes()];
        let (low, high) = words.split_at_mut(low_plane_bytes(format));
        match format.low_bits {
            2 => words_of::<2>(codes, 0, low, lane),
            4 => words_of::<4>(codes, 0, low, lane),
            _ => words_of::<8>(codes, 0, low, lane),
        }
        match format.high_bits {
            0 => {}
            1 => words_of::<1>(codes, format.low_bits, high, lane),
            _ => words_of::<2>(codes, format.low_bits, high, lane),
        }
    }
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    let halves_at = format.halves_at() + lane * 2;
    put(halves_at, &block.d.to_le_bytes());
    if format.has_min {
        put(halves_at + TILE * 2, &block.min.to_le_bytes());
    }
    let n_subs = format.n_subs();
    for sub in 0..n_subs {
        let at = format.sub_scales_at() + sub * TILE + lane;
        match format.sub_scales {
            SubScales::None => {}
            SubScales::Bytes if format.has_min => {
                put(at, &[block.scales[sub]]);
                put(at + n_subs * TILE, &[block.mins[sub]]);
            }
            SubScales::Bytes | SubScales::Nibbles => put(at, &[block.scales[sub]]),
        }
    }
}

/// `BITS` bits of each of 32 codes, from bit `from` up, as the words of one lane.
fn words_of<const BITS: usize>(codes: &[u8], from: usize, plane: &mut [u8], lane: usize) {
    let mask = (1u32 << BITS) - 1;
    for (n, codes) in codes.chunks_exact(32 / BITS).enumerate() {
        let mut word = 0;
        for (s, pair) in codes.chunks_exact(2).enumerate() {
            let [even, odd] = [pair[0], pair[1]].map(|code| u32::from(code) >> from & mask);
            word |= (even | odd << 16) << (s * BITS);
        }
        let at = (n * TILE + lane) * 4;
        plane[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}
