//! Rows of x in the order that the tiles of a product read them.
//!
//! Every 32 neighbours of a row share a scale, the largest magnitude over 32,767, and become whole
//! numbers of 16 bits. The error is at most half a unit: 1.5e-5 of the largest of the 32 (int8
//! would lose 256 times as much).
//!
//! Letters: M = rows, K = columns, R = rows of a tile.

use super::{
    format::GROUP,
    matrix::{Data, Matrix},
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
};

/// Elements of x from which threads help with the packing.
const MIN_SHARED_ELEMENTS: usize = 1 << 17;

/// Rows of numbers that may be parts of longer rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `stride` numbers, one after the other.
    ///
    /// # Panics
    ///
    /// Where that leaves a rest.
    pub fn new(values: &'a [f32], stride: usize) -> Self {
        assert!(stride > 0 && values.len().is_multiple_of(stride), "rows");
        Self { values, stride }
    }

    /// Numbers in a row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// How many rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.stride
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> Self {
        let values = &self.values[start * self.stride..end * self.stride];
        Self { values, ..*self }
    }

    /// `n` numbers of a row.
    fn at(&self, row: usize, column: usize, n: usize) -> &'a [f32] {
        &self.values[row * self.stride + column..][..n]
    }
}

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
    fn at(&self, tile: usize) -> (usize, usize) {
        let start = self.start(tile);
        (start, self.start(tile + 1) - start)
    }

    /// First row and rows of each tile.
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.n_tiles).map(move |tile| self.at(tile))
    }
}

/// Rows in every form that some matrices ask for, each made once.
pub struct PackedRows {
    level: Level,
    threads: Threads,
    tiles: Tiles,
    forms: Vec<Packed>,
}

/// Tile after tile, each plane `[.. ][R]`.
struct Packed {
    k: usize,
    /// First column of x, and what the numbers were multiplied by.
    column: usize,
    scale: f32,
    form: Form,
}

enum Form {
    Ints {
        /// `[K / 2][R]` pairs of 16 bits
        pairs: Vec<i32>,
        /// `[K / 32][R]`
        scales: Vec<f32>,
        /// Weights of a sub-block, and `[K / sub][R]`: for matrices with minima
        sums: Option<(usize, Vec<f32>)>,
    },
    /// `[K][R]`
    Floats(Vec<f32>),
}

impl PackedRows {
    pub fn new(level: Level, threads: Threads, tiles: Tiles) -> Self {
        Self {
            level,
            threads,
            tiles,
            forms: Vec::new(),
        }
    }

    /// Packs columns of x, times `scale`, for a matrix; returns their place.
    pub fn add(&mut self, matrix: &Matrix, x: Rows, column: usize, scale: f32) -> usize {
        let k = matrix.shape()[1];
        let (is_ints, sub) = match matrix.data() {
            Data::Blocks(format, _) => (true, format.has_min.then_some(format.sub)),
            Data::Halves(..) | Data::Floats(_) => (false, None),
        };
        let serves = |packed: &Packed| {
            let same = (packed.k, packed.column, packed.scale) == (k, column, scale);
            same && match &packed.form {
                Form::Floats(_) => !is_ints,
                Form::Ints { sums, .. } => {
                    is_ints && (sub.is_none() || sub == sums.as_ref().map(|(sub, _)| *sub))
                }
            }
        };
        if let Some(place) = self.forms.iter().position(serves) {
            return place;
        }
        let form = match is_ints {
            true => self.pack_ints(x, k, column, scale, sub),
            false => self.pack_floats(x, k, column, scale),
        };
        self.forms.push(Packed {
            k,
            column,
            scale,
            form,
        });
        self.forms.len() - 1
    }

    /// Planes of the tile that begins at row `start`: pairs, scales, sums.
    pub fn ints(&self, place: usize, start: usize) -> (&[i32], &[f32], Option<&[f32]>) {
        let Packed { k, form, .. } = &self.forms[place];
        match form {
            Form::Ints {
                pairs,
                scales,
                sums,
            } => {
                let sums = sums.as_ref();
                (
                    &pairs[start * k / 2..],
                    &scales[start * k / GROUP..],
                    sums.map(|(sub, sums)| &sums[start * k / sub..]),
                )
            }
            Form::Floats(_) => (&[], &[], None),
        }
    }

    /// `[K][R]` of the tile that begins at row `start`.
    pub fn floats(&self, place: usize, start: usize) -> &[f32] {
        let Packed { k, form, .. } = &self.forms[place];
        match form {
            Form::Floats(values) => &values[start * k..],
            Form::Ints { .. } => &[],
        }
    }

    fn threads(&self, k: usize) -> Threads {
        match self.tiles.m * k < MIN_SHARED_ELEMENTS {
            true => Threads::ONE,
            false => self.threads,
        }
    }

    fn pack_ints(&self, x: Rows, k: usize, column: usize, scale: f32, sub: Option<usize>) -> Form {
        let Self { level, tiles, .. } = *self;
        let m = tiles.m;
        let mut pairs = vec![0; m * k / 2];
        let mut scales = vec![0.0; m * k / GROUP];
        let mut sums = sub.map(|sub| (sub, vec![0.0; m * k / sub]));
        let all_pairs = Shared::new(&mut pairs);
        let all_scales = Shared::new(&mut scales);
        let all_sums = sums.as_mut().map(|(sub, sums)| (*sub, Shared::new(sums)));
        let job = |(): &mut (), tile: usize| {
            let (start, rows) = tiles.at(tile);
            let (first, n) = (start * k, rows * k);
            // SAFETY: a job has its tile to itself.
            unsafe {
                level.run(PackInts {
                    x: x.slice(start, start + rows),
                    k,
                    column,
                    scale,
                    pairs: all_pairs.part(first / 2, n / 2),
                    scales: all_scales.part(first / GROUP, n / GROUP),
                    sums: (all_sums.as_ref())
                        .map(|(sub, sums)| (*sub, sums.part(first / sub, n / sub))),
                });
            }
        };
        self.threads(k).run(tiles.n_tiles, || (), job);
        Form::Ints {
            pairs,
            scales,
            sums,
        }
    }

    fn pack_floats(&self, x: Rows, k: usize, column: usize, scale: f32) -> Form {
        let tiles = self.tiles;
        let mut packed = vec![0.0; tiles.m * k];
        let all = Shared::new(&mut packed);
        let job = |(): &mut (), tile: usize| {
            let (start, rows) = tiles.at(tile);
            // SAFETY: a job has its tile to itself.
            let out = unsafe { all.part(start * k, rows * k) };
            for r in 0..rows {
                let x = x.at(start + r, column, k);
                for (x, out) in x.iter().zip(out.chunks_exact_mut(rows)) {
                    out[r] = x * scale;
                }
            }
        };
        self.threads(k).run(tiles.n_tiles, || (), job);
        Form::Floats(packed)
    }
}

/// Quantises the rows of one tile.
pub struct PackInts<'a> {
    /// R rows
    pub x: Rows<'a>,
    pub k: usize,
    pub column: usize,
    pub scale: f32,
    pub pairs: &'a mut [i32],
    pub scales: &'a mut [f32],
    /// Weights of a sub-block, and the sums of as many numbers.
    pub sums: Option<(usize, &'a mut [f32])>,
}

impl Kernel for PackInts<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let rows = self.x.count();
        for r in 0..rows {
            let x = self.x.at(r, self.column, self.k);
            for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let (numbers, unit) = quantise(x);
                let unit = unit * self.scale;
                self.scales[group * rows + r] = unit;
                let pairs = &mut self.pairs[group * GROUP / 2 * rows..];
                for (pair, out) in (numbers.as_chunks::<2>().0.iter()).zip(pairs.chunks_mut(rows)) {
                    out[r] = i32::from(pair[0] as u16) | i32::from(pair[1]) << 16;
                }
                if let Some((sub, sums)) = &mut self.sums {
                    let sums = &mut sums[group * GROUP / *sub * rows..];
                    for (numbers, out) in numbers.chunks(*sub).zip(sums.chunks_mut(rows)) {
                        let sum: i32 = numbers.iter().map(|number| i32::from(*number)).sum();
                        out[r] = sum as f32 * unit;
                    }
                }
            }
        }
    }
}

/// The numbers of 32 neighbours and what a unit of them stands for.
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
