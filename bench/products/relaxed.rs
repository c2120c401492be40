//! The product with the relaxed instructions of WebAssembly, to be measured beside that of
//! src/cpu: what it would be with `i32x4.relaxed_dot_i8x16_i7x16_add`.
//!
//! That instruction multiplies four bytes with four of seven bits and adds them to a lane. Where
//! the factor of seven bits is not negative, and two products fit 16 bits, as here, every engine
//! gives the same. The 16 bits of a number of x become two bytes:
//!
//! - Q4_0, Q4_K: codes are the factor of seven bits, x is `256 high + low` with a sign in both,
//!   up to 32,639; the offset of Q4_0 is what the sum begins with.
//! - Q8_0: weights have eight bits with a sign, so x has to be the factor of seven: `x + 8192 =
//!   128 high + low`, 14 bits, a quarter of the precision; 8,192 times the sum of the weights is
//!   what the sum begins with.
//!
//! As in src/cpu, 32 rows stand side by side, 256 of K are decoded at a time, and sums of whole
//! numbers over 32 of K are exact. Two rows of x, twice, and two vectors of weights: with three
//! rows, or with more and one vector, V8 is slower, for sums go to the stack or loads are too many.
//!
//! [`Floats`] is the product in f32, with `f32x4.relaxed_madd` and without.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rows of a tile.

use std::arch::wasm32::*;

use half::f16;
use jina_embeddings_web::gguf::TensorType;

const TILE: usize = 32;
const GROUP: usize = 32;
const PANEL_K: usize = 256;
const MAX_ROWS: usize = 2;
const MAX_BLOCK_ROWS: usize = 256;

const Q4_0: u8 = 0;
const Q4_K: u8 = 1;
const Q8_0: u8 = 2;

/// A matrix in the order of this product.
pub struct Matrix {
    kind: u8,
    n: usize,
    k: usize,
    /// `[N / TILE][K / GROUP][words][TILE]`: 4 words of codes, of which the low nibbles come first,
    /// or 8 of bytes; a word's weights follow each other
    words: Vec<u32>,
    /// `[N / TILE][K / GROUP][TILE]` each
    d: Vec<f32>,
    min: Vec<f32>,
    /// -8192 times the sum of the weights: Q8_0
    starts: Vec<i32>,
}

impl Matrix {
    /// `None` for other types. N and K are multiples of 32.
    pub fn new(tensor_type: TensorType, [n, k]: [usize; 2], bytes: &[u8]) -> Option<Matrix> {
        let kind = match tensor_type {
            TensorType::Q4_0 => Q4_0,
            TensorType::Q4_K => Q4_K,
            TensorType::Q8_0 => Q8_0,
            _ => return None,
        };
        let n_words = words(kind);
        let mut matrix = Matrix {
            kind,
            n,
            k,
            words: vec![0; n * k / GROUP * n_words],
            d: vec![0.0; n * k / GROUP],
            min: vec![0.0; n * k / GROUP],
            starts: vec![0; n * k / GROUP],
        };
        let (block, block_bytes) = (tensor_type.block_elements(), tensor_type.block_bytes());
        for row in 0..n {
            let blocks = bytes[row * k / block * block_bytes..].chunks_exact(block_bytes);
            for (at, bytes) in blocks.take(k / block).enumerate() {
                for sub in 0..block / GROUP {
                    let (codes, d, min) = group(kind, bytes, sub);
                    let group = row / TILE * (k / GROUP) + at * (block / GROUP) + sub;
                    let lane = group * TILE + row % TILE;
                    (matrix.d[lane], matrix.min[lane]) = (d, min);
                    let sum: i32 = codes.iter().map(|code| i32::from(*code as i8)).sum();
                    matrix.starts[lane] = -8192 * sum;
                    for (quad, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                        let bits = u32::from_le_bytes(*codes);
                        let (word, shift) = match kind {
                            Q8_0 => (quad, 0),
                            _ => (quad / 2, quad % 2 * 4),
                        };
                        let word = (group * n_words + word) * TILE + row % TILE;
                        matrix.words[word] |= bits << shift;
                    }
                }
            }
        }
        Some(matrix)
    }

    /// `y = x Wᵀ`, x `[M, K]`, y `[M, N]`
    pub fn multiply(&self, x: &[f32], y: &mut [f32]) {
        let m = x.len() / self.k;
        let n_blocks = m.div_ceil(MAX_BLOCK_ROWS);
        for block in 0..n_blocks {
            let (start, end) = (block * m / n_blocks, (block + 1) * m / n_blocks);
            let (x, y) = (
                &x[start * self.k..end * self.k],
                &mut y[start * self.n..end * self.n],
            );
            // SAFETY: a module with these instructions loads only where they are there.
            unsafe { self.block(x, y) };
        }
    }

    #[target_feature(enable = "simd128,relaxed-simd")]
    unsafe fn block(&self, x: &[f32], y: &mut [f32]) {
        let m = x.len() / self.k;
        let n_tiles = m.div_ceil(MAX_ROWS);
        let tiles: Vec<Rows> = (0..n_tiles)
            .map(|tile| (tile * m / n_tiles, (tile + 1) * m / n_tiles))
            .map(|(start, end)| Rows::pack(self.kind, &x[start * self.k..end * self.k], self.k))
            .collect();
        let mut sums = vec![0.0f32; m * TILE];
        let mut panel = vec![0u32; PANEL_K / 4 * TILE];
        let (n_words, n_groups) = (words(self.kind), self.k / GROUP);
        for n_tile in 0..self.n / TILE {
            sums.fill(0.0);
            for first in (0..n_groups).step_by(PANEL_K / GROUP) {
                let groups = (PANEL_K / GROUP).min(n_groups - first);
                let group = n_tile * n_groups + first;
                let words = &self.words[group * n_words * TILE..][..groups * n_words * TILE];
                let panel: &[u32] = match self.kind {
                    // Stored as it is multiplied.
                    Q8_0 => words,
                    _ => {
                        let panel = &mut panel[..words.len() * 2];
                        // SAFETY: each word of a lane has two places.
                        unsafe { nibbles(words, panel) };
                        panel
                    }
                };
                let mut start = 0;
                for rows in &tiles {
                    let c = &mut sums[start * TILE..][..rows.r * TILE];
                    start += rows.r;
                    let tile = Tile {
                        x: rows.quads[first * 8 * 2 * rows.r..].as_ptr(),
                        scales: rows.scales[first * rows.r..].as_ptr(),
                        starts: rows.starts[first * rows.r..].as_ptr(),
                        sums: rows.sums[first * rows.r..].as_ptr(),
                        w: panel.as_ptr(),
                        d: self.d[group * TILE..].as_ptr(),
                        min: self.min[group * TILE..].as_ptr(),
                        w_starts: self.starts[group * TILE..].as_ptr(),
                        groups,
                        c: c.as_mut_ptr(),
                    };
                    // SAFETY: all begin at `first` of a plane that has as many groups more.
                    unsafe {
                        match (self.kind, rows.r) {
                            (Q4_0, 1) => tile.run::<Q4_0, 1>(),
                            (Q4_0, _) => tile.run::<Q4_0, 2>(),
                            (Q4_K, 1) => tile.run::<Q4_K, 1>(),
                            (Q4_K, _) => tile.run::<Q4_K, 2>(),
                            (_, 1) => tile.run::<Q8_0, 1>(),
                            (_, _) => tile.run::<Q8_0, 2>(),
                        }
                    }
                }
            }
            for (sums, y) in sums.chunks_exact(TILE).zip(y.chunks_exact_mut(self.n)) {
                y[n_tile * TILE..][..TILE].copy_from_slice(sums);
            }
        }
    }
}

fn words(kind: u8) -> usize {
    match kind {
        Q8_0 => 8,
        _ => 4,
    }
}

/// Codes of 32 weights of a block, their scale and what is subtracted.
fn group(kind: u8, bytes: &[u8], sub: usize) -> ([u8; GROUP], f32, f32) {
    let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
    let mut codes = [0; GROUP];
    match kind {
        Q4_0 => {
            for l in 0..16 {
                (codes[l], codes[l + 16]) = (bytes[2 + l] & 15, bytes[2 + l] >> 4);
            }
            (codes, half(0), 0.0)
        }
        Q4_K => {
            let packed = &bytes[4..16];
            let (scale, min) = match sub {
                0..4 => (packed[sub] & 63, packed[sub + 4] & 63),
                _ => (
                    packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4,
                    packed[sub + 4] >> 4 | packed[sub] >> 6 << 4,
                ),
            };
            for (code, byte) in codes.iter_mut().zip(&bytes[16 + sub / 2 * 32..]) {
                *code = byte >> (sub % 2 * 4) & 15;
            }
            (codes, half(0) * f32::from(scale), half(2) * f32::from(min))
        }
        _ => {
            codes.copy_from_slice(&bytes[2..34]);
            (codes, half(0), 0.0)
        }
    }
}

/// Two quads of every lane from each word.
#[inline]
#[target_feature(enable = "simd128")]
unsafe fn nibbles(words: &[u32], panel: &mut [u32]) {
    let mask = u8x16_splat(15);
    for (words, quads) in words
        .chunks_exact(TILE)
        .zip(panel.chunks_exact_mut(2 * TILE))
    {
        for lane in (0..TILE).step_by(4) {
            // SAFETY: rows of TILE.
            unsafe {
                let word = v128_load(words.as_ptr().add(lane).cast());
                v128_store(quads.as_mut_ptr().add(lane).cast(), v128_and(word, mask));
                let high = v128_and(u32x4_shr(word, 4), mask);
                v128_store(quads.as_mut_ptr().add(TILE + lane).cast(), high);
            }
        }
    }
}

/// R rows of x in the order of a tile.
struct Rows {
    r: usize,
    /// `[K / 4][2][R]`: high bytes, low bytes
    quads: Vec<u32>,
    /// `[K / GROUP][R]` each: what a unit stands for; what the sums begin with; sums of x
    scales: Vec<f32>,
    starts: Vec<i32>,
    sums: Vec<f32>,
}

impl Rows {
    #[inline]
    #[target_feature(enable = "simd128")]
    fn pack(kind: u8, x: &[f32], k: usize) -> Rows {
        const MAGIC: f32 = (3 << 22) as f32;
        let r = x.len() / k;
        let largest_number = if kind == Q8_0 { 8191.0 } else { 32639.0 };
        let mut rows = Rows {
            r,
            quads: vec![0; k / 2 * r],
            scales: vec![0.0; k / GROUP * r],
            starts: vec![0; k / GROUP * r],
            sums: vec![0.0; k / GROUP * r],
        };
        for (row, x) in x.chunks_exact(k).enumerate() {
            for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let bits = x.map(|x| x.to_bits() & 0x7fff_ffff);
                let largest = bits.iter().fold(0, |largest, bits| *bits.max(&largest));
                let largest = f32::from_bits(largest).max(1e-30);
                let inverse = largest_number / largest;
                let numbers = x.map(|x| (x * inverse + MAGIC).to_bits() as i16);
                let (high, low): ([u8; GROUP], [u8; GROUP]) = match kind {
                    Q8_0 => (
                        numbers.map(|x| ((x + 8192) >> 7) as u8),
                        numbers.map(|x| (x & 127) as u8),
                    ),
                    _ => (
                        numbers.map(|x| ((x + 128) >> 8) as u8),
                        numbers.map(|x| x as u8),
                    ),
                };
                let unit = largest / largest_number;
                let sum: i32 = numbers.iter().map(|x| i32::from(*x)).sum();
                rows.scales[group * r + row] = unit;
                rows.starts[group * r + row] = -8 * sum;
                rows.sums[group * r + row] = sum as f32 * unit;
                let quads = &mut rows.quads[group * 8 * 2 * r..][..8 * 2 * r];
                for (quad, out) in quads.chunks_exact_mut(2 * r).enumerate() {
                    let four = |bytes: &[u8; GROUP]| {
                        u32::from_le_bytes([0, 1, 2, 3].map(|at| bytes[quad * 4 + at]))
                    };
                    (out[row], out[r + row]) = (four(&high), four(&low));
                }
            }
        }
        rows
    }
}

/// `c[r][n] += Σ_group (256 Σ high w + Σ low w) d scale - min sum`; the planes of [`Rows`] and
/// [`Matrix`] from some group on.
struct Tile {
    x: *const u32,
    scales: *const f32,
    starts: *const i32,
    sums: *const f32,
    /// `[K / 4][TILE]`
    w: *const u32,
    d: *const f32,
    min: *const f32,
    w_starts: *const i32,
    groups: usize,
    /// `[R][TILE]`
    c: *mut f32,
}

impl Tile {
    #[target_feature(enable = "simd128,relaxed-simd")]
    unsafe fn run<const KIND: u8, const R: usize>(self) {
        // SAFETY: the pointers have the extents of their shapes, by the caller's word.
        unsafe {
            for group in 0..self.groups {
                for strip in (0..TILE).step_by(8) {
                    let zero = i32x4_splat(0);
                    let (mut high, mut low) = ([[zero; 2]; R], [[zero; 2]; R]);
                    if KIND == Q4_0 {
                        for (r, low) in low.iter_mut().enumerate() {
                            *low = [i32x4_splat(*self.starts.add(group * R + r)); 2];
                        }
                    }
                    if KIND == Q8_0 {
                        let at = |v: usize| self.w_starts.add(group * TILE + strip + v * 4).cast();
                        low = [[v128_load(at(0)), v128_load(at(1))]; R];
                    }
                    let dot = |w: v128, x: v128, sum: v128| match KIND {
                        Q8_0 => i32x4_relaxed_dot_i8x16_i7x16_add(w, x, sum),
                        _ => i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sum),
                    };
                    for quad in group * 8..group * 8 + 8 {
                        let w = self.w.add(quad * TILE + strip);
                        let w = [v128_load(w.cast()), v128_load(w.add(4).cast())];
                        for r in 0..R {
                            let x = v128_load32_splat(self.x.add((quad * 2) * R + r).cast());
                            high[r] = [dot(w[0], x, high[r][0]), dot(w[1], x, high[r][1])];
                            let x = v128_load32_splat(self.x.add((quad * 2 + 1) * R + r).cast());
                            low[r] = [dot(w[0], x, low[r][0]), dot(w[1], x, low[r][1])];
                        }
                    }
                    let bits = if KIND == Q8_0 { 7 } else { 8 };
                    for v in 0..2 {
                        let at = group * TILE + strip + v * 4;
                        let d = v128_load(self.d.add(at).cast());
                        for r in 0..R {
                            let sum = i32x4_add(i32x4_shl(high[r][v], bits), low[r][v]);
                            let product = f32x4_mul(f32x4_convert_i32x4(sum), d);
                            let scale = f32x4_splat(*self.scales.add(group * R + r));
                            let c = self.c.add(r * TILE + strip + v * 4);
                            let mut sum = f32x4_relaxed_madd(product, scale, v128_load(c.cast()));
                            if KIND == Q4_K {
                                let min = v128_load(self.min.add(at).cast());
                                let x = f32x4_splat(*self.sums.add(group * R + r));
                                sum = f32x4_relaxed_nmadd(min, x, sum);
                            }
                            v128_store(c.cast(), sum);
                        }
                    }
                }
            }
        }
    }
}

/// A matrix in f32, multiplied as src/cpu does it.
pub struct Floats {
    n: usize,
    k: usize,
    /// `[N / TILE][K][TILE]`
    w: Vec<f32>,
}

impl Floats {
    const MAX_ROWS: usize = 4;

    /// - `w`: `[N, K]`, N a multiple of 32
    pub fn new([n, k]: [usize; 2], w: &[f32]) -> Floats {
        let mut tiles = vec![0.0; n * k];
        for (row, w) in w.chunks_exact(k).enumerate() {
            let tile = &mut tiles[row / TILE * k * TILE..];
            for (out, w) in tile[row % TILE..].iter_mut().step_by(TILE).zip(w) {
                *out = *w;
            }
        }
        Floats { n, k, w: tiles }
    }

    /// `y = x Wᵀ`, x `[M, K]` with M a multiple of 4, y `[M, N]`
    pub fn multiply<const FMA: bool>(&self, x: &[f32], y: &mut [f32]) {
        let Floats { n, k, ref w } = *self;
        let (r, panel_k) = (Self::MAX_ROWS, PANEL_K / 2);
        // [M / R][K][R]
        let mut packed = vec![0.0; x.len()];
        for (x, packed) in x.chunks_exact(r * k).zip(packed.chunks_exact_mut(r * k)) {
            for (at, out) in packed.iter_mut().enumerate() {
                *out = x[at % r * k + at / r];
            }
        }
        let mut sums = vec![0.0f32; x.len() / k * TILE];
        for (n_tile, w) in w.chunks_exact(k * TILE).enumerate() {
            sums.fill(0.0);
            for (panel, w) in w.chunks(panel_k * TILE).enumerate() {
                let tiles = packed
                    .chunks_exact(r * k)
                    .zip(sums.chunks_exact_mut(r * TILE));
                for (x, c) in tiles {
                    let x = &x[panel * panel_k * r..][..w.len() / TILE * r];
                    // SAFETY: R numbers of x for each TILE of w, and R rows of sums.
                    unsafe { float_tile::<FMA>(x, w, c) };
                }
            }
            for (sums, y) in sums.chunks_exact(TILE).zip(y.chunks_exact_mut(n)) {
                y[n_tile * TILE..][..TILE].copy_from_slice(sums);
            }
        }
    }
}

/// `c[r][n] += Σ_k x[k][r] w[k][n]`
#[target_feature(enable = "simd128,relaxed-simd")]
unsafe fn float_tile<const FMA: bool>(x: &[f32], w: &[f32], c: &mut [f32]) {
    const R: usize = Floats::MAX_ROWS;
    let add = |w: v128, x: v128, sum: v128| match FMA {
        true => f32x4_relaxed_madd(w, x, sum),
        false => f32x4_add(f32x4_mul(w, x), sum),
    };
    for strip in (0..TILE).step_by(8) {
        let mut acc = [[f32x4_splat(0.0); 2]; R];
        for k in 0..w.len() / TILE {
            // SAFETY: as the caller says.
            unsafe {
                let w = w.as_ptr().add(k * TILE + strip);
                let w = [v128_load(w.cast()), v128_load(w.add(4).cast())];
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = f32x4_splat(*x.as_ptr().add(k * R + r));
                    *acc = [add(w[0], x, acc[0]), add(w[1], x, acc[1])];
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                // SAFETY: as the caller says.
                unsafe {
                    let c = c.as_mut_ptr().add(r * TILE + strip + v * 4).cast();
                    v128_store(c, f32x4_add(v128_load(c), *acc));
                }
            }
        }
    }
}
