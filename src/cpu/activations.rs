//! Rows of x in the order that the tiles of a product read them.
//!
//! Every 32 neighbours of a row share a scale, the largest magnitude over 32,767, and become whole
//! numbers of 16 bits. The error is at most half a unit: 1.5e-5 of the largest of the 32, about
//! what f16 activations would lose (int8 would lose 256 times as much).
//!
//! Letters: M = rows, K = columns, R = rows of a tile.

use super::{
    format::{Format, GROUP},
    simd::{Kernel, Lanes},
};

/// How rows are divided: `n_tiles` tiles of about as many rows each.
#[derive(Debug, Clone, Copy)]
pub struct Tiles {
    pub m: usize,
    pub n_tiles: usize,
}

impl Tiles {
    pub fn new(m: usize, max_rows: usize) -> Self {
        Self {
            m,
            n_tiles: m.div_ceil(max_rows),
        }
    }

    fn start(&self, tile: usize) -> usize {
        tile * self.m / self.n_tiles
    }

    /// First row and rows of a tile.
    pub fn at(&self, tile: usize) -> (usize, usize) {
        let start = self.start(tile);
        (start, self.start(tile + 1) - start)
    }

    /// First row and rows of each tile.
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.n_tiles).map(move |tile| self.at(tile))
    }
}

/// Rows of x for matrices in blocks. Tile after tile, each plane `[.. ][R]`.
pub struct Ints {
    /// Weights of a sub-block of the matrix.
    sub: usize,
    /// `[K / 2][R]` pairs of 16 bits
    pub pairs: Vec<i32>,
    /// `[K / 32][R]`
    pub scales: Vec<f32>,
    /// `[K / sub][R]`, if the matrix has minima
    pub sums: Option<Vec<f32>>,
}

/// The numbers of up to 32 neighbours and what a unit of them stands for.
#[inline(always)]
fn quantise(x: &[f32; GROUP]) -> ([i16; GROUP], f32) {
    /// Adding it leaves a number's nearest whole in the low bits of the sum (ties to even).
    const MAGIC: f32 = (3 << 22) as f32;
    /// Less than this is nothing: 32,767 over it is still finite.
    const LEAST: f32 = 1e-30;
    let bits = x.map(|x| x.to_bits() & 0x7fff_ffff);
    let largest = bits.iter().fold(0, |largest, bits| *bits.max(&largest));
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        // What comes of it is to be NaN, so that nobody takes it for a result.
        return ([0; GROUP], f32::NAN);
    }
    if largest < LEAST {
        return ([0; GROUP], 0.0);
    }
    let inverse = 32767.0 / largest;
    let numbers = x.map(|x| (x * inverse + MAGIC).to_bits() as i16);
    (numbers, largest / 32767.0)
}

impl Ints {
    /// Room for `m` rows of `k`, for products with matrices of this format.
    pub fn new(m: usize, k: usize, format: &Format) -> Self {
        Self {
            sub: format.sub,
            pairs: vec![0; m * k / 2],
            scales: vec![0.0; m * k / GROUP],
            sums: format.has_min.then(|| vec![0.0; m * k / format.sub]),
        }
    }

    /// Where the tile that begins at row `start` begins in each plane.
    pub fn tile(&self, start: usize, k: usize) -> (&[i32], &[f32], Option<&[f32]>) {
        (
            &self.pairs[start * k / 2..],
            &self.scales[start * k / GROUP..],
            self.sums.as_ref().map(|sums| &sums[start * k / self.sub..]),
        )
    }
}

/// Quantises the rows of one tile.
pub struct PackInts<'a> {
    /// `[R, K]`
    pub x: &'a [f32],
    pub k: usize,
    pub rows: usize,
    pub sub: usize,
    pub pairs: &'a mut [i32],
    pub scales: &'a mut [f32],
    pub sums: Option<&'a mut [f32]>,
}

impl Kernel for PackInts<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let rows = self.rows;
        for (r, x) in self.x.chunks_exact(self.k.max(1)).enumerate() {
            for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let (numbers, scale) = quantise(x);
                self.scales[group * rows + r] = scale;
                let pairs = &mut self.pairs[group * GROUP / 2 * rows..];
                for (pair, out) in numbers
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .zip(pairs.chunks_mut(rows))
                {
                    out[r] = i32::from(pair[0] as u16) | i32::from(pair[1]) << 16;
                }
                if let Some(sums) = &mut self.sums {
                    let sums = &mut sums[group * GROUP / self.sub * rows..];
                    for (numbers, out) in numbers.chunks(self.sub).zip(sums.chunks_mut(rows)) {
                        let sum: i32 = numbers.iter().map(|number| i32::from(*number)).sum();
                        out[r] = sum as f32 * scale;
                    }
                }
            }
        }
    }
}

/// Puts the rows of one tile side by side: `[R, K]` to `[K, R]`.
pub fn pack_floats(x: &[f32], k: usize, rows: usize, out: &mut [f32]) {
    for (r, x) in x.chunks_exact(k.max(1)).enumerate() {
        for (x, out) in x.iter().zip(out.chunks_mut(rows)) {
            out[r] = *x;
        }
    }
}
