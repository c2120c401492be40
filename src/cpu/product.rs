//! `y = finish(x Wᵀ (+ bias) (+ t Bᵀ) (+ y))` on slices, for matrices that multiply the same x.
//!
//! 1. Rows of x are taken in blocks of at most 256 and packed for the tiles.
//! 2. For each 32 rows of W, which is one job for some thread: a stretch of K is decoded into the
//!    first-level cache, and multiplied with every tile of the block; then the next stretch.
//! 3. The sums, on which the low-rank update is put in the same way, go out finished.
//!
//! A result depends on its row of x and its row of W alone: not on M, nor on the threads.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

use super::{
    activations::{PackedRows, Rows, Tiles},
    format::{Format, GROUP, TILE},
    functions::silu,
    matrix::{Data, Matrix},
    panel::{DecodeHalves, DecodeRecords, FLOAT_PANEL_K, IntPanel, PANEL_K},
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
    tile::{FloatTile, IntTile, with_rows},
};

/// Rows of x that are packed together: the weights are decoded once for all of them.
const MAX_BLOCK_ROWS: usize = 256;

/// What is done with a product before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: `[M, ΣN]`
    Write,
    /// Adds it to what is there: `[M, ΣN]`
    Add,
    /// `silu(gate) * up`, of two parts of the same size: `[M, N]`
    SiluMul,
}

/// A matrix and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `[N, K]`
    pub matrix: &'a Matrix,
    /// `[N]`
    pub bias: Option<&'a [f32]>,
    pub update: Option<Update<'a>>,
}

/// `t Bᵀ scale`, of columns of x behind the K that the matrix multiplies.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// `[N, R]`
    pub b: &'a Matrix,
    /// The first of the R columns of x.
    pub column: usize,
    pub scale: f32,
}

/// Products of the same x, their outputs side by side.
#[derive(Debug, Clone)]
pub struct Product<'a> {
    /// At least one, all of the same K.
    pub parts: Vec<Part<'a>>,
    pub finish: Finish,
}

/// A part with the packed rows of x, or of t, to multiply it with.
struct Term<'a> {
    matrix: &'a Matrix,
    /// Place among the packed rows.
    x: usize,
}

impl<'a> Product<'a> {
    /// One matrix alone.
    pub fn new(matrix: &'a Matrix) -> Self {
        let part = Part {
            matrix,
            bias: None,
            update: None,
        };
        Self {
            parts: vec![part],
            finish: Finish::Write,
        }
    }

    /// Columns of y.
    pub fn width(&self) -> usize {
        let all: usize = self.parts.iter().map(|part| part.matrix.shape()[0]).sum();
        match self.finish {
            Finish::Write | Finish::Add => all,
            Finish::SiluMul => all / 2,
        }
    }

    /// - `x`: M rows, of which the first K columns and those of the updates count
    /// - `y`: `[M, width]`
    ///
    /// # Panics
    ///
    /// Where shapes do not fit each other.
    pub fn run(&self, level: Level, threads: Threads, x: Rows, y: &mut [f32]) {
        let width = self.width();
        let m = x.count();
        assert_eq!(y.len(), m * width, "outputs of {m} rows");
        self.check(x);
        let n_blocks = m.div_ceil(MAX_BLOCK_ROWS);
        for block in 0..n_blocks {
            let (start, end) = (block * m / n_blocks, (block + 1) * m / n_blocks);
            let tiles = Tiles::new(end - start, level.max_rows());
            let y = &mut y[start * width..end * width];
            self.block(level, threads, x.slice(start, end), tiles, y);
        }
    }

    fn check(&self, x: Rows) {
        let k = self.parts[0].matrix.shape()[1];
        for Part {
            matrix,
            bias,
            update,
        } in &self.parts
        {
            let [n, columns] = matrix.shape();
            assert_eq!(columns, k, "columns of stacked matrices");
            assert!(columns <= x.stride(), "columns of x");
            assert!(bias.is_none_or(|bias| bias.len() == n), "bias");
            if let Some(Update { b, column, .. }) = update {
                assert_eq!(b.shape()[0], n, "rows of B");
                assert!(column + b.shape()[1] <= x.stride(), "columns of t");
            }
        }
        if self.finish == Finish::SiluMul {
            let n: Vec<_> = self
                .parts
                .iter()
                .map(|part| part.matrix.shape()[0])
                .collect();
            assert!(matches!(n[..], [gate, up] if gate == up), "gate and up");
        }
    }

    /// Up to 256 rows.
    fn block(&self, level: Level, threads: Threads, x: Rows, tiles: Tiles, y: &mut [f32]) {
        let mut packed = PackedRows::new(level, threads, tiles);
        let terms: Vec<Vec<Term>> = (self.parts.iter())
            .map(|part| {
                let term = |matrix, x| Term { matrix, x };
                let mut terms = vec![term(part.matrix, packed.add(part.matrix, x, 0, 1.0))];
                if let Some(Update { b, column, scale }) = part.update {
                    terms.push(term(b, packed.add(b, x, column, scale)));
                }
                terms
            })
            .collect();
        // Tiles of the parts, one part after the other; with SiluMul those of both at once.
        let n_tiles: Vec<usize> = (self.parts.iter())
            .map(|part| part.matrix.shape()[0].div_ceil(TILE))
            .collect();
        let n_jobs = match self.finish {
            Finish::SiluMul => n_tiles[0],
            Finish::Write | Finish::Add => n_tiles.iter().sum(),
        };
        let width = self.width();
        let y = Shared::new(y);
        let run = |scratch: &mut Scratch, part: usize, n_tile: usize| {
            level.run(TileProduct {
                terms: &terms[part],
                bias: self.parts[part].bias,
                packed: &packed,
                tiles,
                n_tile,
                scratch,
            });
        };
        let job = |scratch: &mut Scratch, job: usize| {
            let (mut part, mut n_tile, mut column) = (0, job, 0);
            while n_tile >= n_tiles[part] {
                n_tile -= n_tiles[part];
                column += self.parts[part].matrix.shape()[0];
                part += 1;
            }
            run(scratch, part, n_tile);
            if self.finish == Finish::SiluMul {
                std::mem::swap(&mut scratch.sums, &mut scratch.gate);
                run(scratch, 1, n_tile);
                level.run(Gate {
                    gate: &scratch.gate,
                    up: &mut scratch.sums,
                });
            }
            let first = n_tile * TILE;
            let n = TILE.min(self.parts[part].matrix.shape()[0] - first);
            for (row, sums) in scratch.sums.chunks_exact(TILE).enumerate() {
                // SAFETY: a job has the columns of its tile to itself.
                let y = unsafe { y.part(row * width + column + first, n) };
                match self.finish {
                    Finish::Add => y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum),
                    Finish::Write | Finish::SiluMul => y.copy_from_slice(&sums[..n]),
                }
            }
        };
        threads.run(n_jobs, || Scratch::new(tiles.m), job);
    }
}

/// `up = silu(gate) * up`
struct Gate<'a> {
    gate: &'a [f32],
    up: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        assert!(self.gate.len() == self.up.len() && self.up.len().is_multiple_of(TILE));
        for at in (0..self.up.len()).step_by(V::N) {
            // SAFETY: V::N divides TILE, and TILE both lengths.
            unsafe {
                let up = self.up.as_mut_ptr().add(at);
                let gate = silu::<V>(V::load(self.gate.as_ptr().add(at)));
                V::store(V::mul(gate, V::load(up)), up);
            }
        }
    }
}

/// What a thread works in.
struct Scratch {
    panel: IntPanel,
    /// `[FLOAT_PANEL_K][TILE]`
    floats: Vec<f32>,
    /// `[M][TILE]`
    sums: Vec<f32>,
    /// `[M][TILE]`, of the gate while up is computed
    gate: Vec<f32>,
}

impl Scratch {
    fn new(m: usize) -> Self {
        Self {
            panel: IntPanel::new(),
            floats: vec![0.0; FLOAT_PANEL_K * TILE],
            sums: vec![0.0; m * TILE],
            gate: vec![0.0; m * TILE],
        }
    }
}

/// The sums of one tile of W with all rows of a block.
struct TileProduct<'a> {
    terms: &'a [Term<'a>],
    bias: Option<&'a [f32]>,
    packed: &'a PackedRows,
    tiles: Tiles,
    n_tile: usize,
    scratch: &'a mut Scratch,
}

impl Kernel for TileProduct<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self {
            terms,
            packed,
            tiles,
            n_tile,
            scratch,
            ..
        } = self;
        scratch.sums.fill(0.0);
        if let Some(bias) = self.bias {
            let bias = &bias[n_tile * TILE..];
            for sums in scratch.sums.chunks_exact_mut(TILE) {
                sums.iter_mut()
                    .zip(bias)
                    .for_each(|(sum, bias)| *sum = *bias);
            }
        }
        for Term { matrix, x } in terms {
            let tile_elements = matrix.shape()[1] * TILE;
            // SAFETY: the caller vouches for V.
            unsafe {
                match matrix.data() {
                    Data::Blocks(format, records) => {
                        let k = matrix.shape()[1];
                        let tile_bytes = k / format.block * format.record_bytes();
                        let records = &records[n_tile * tile_bytes..][..tile_bytes];
                        ints::<V>(format, records, packed, *x, tiles, scratch);
                    }
                    Data::Halves(kind, halves) => {
                        let halves = &halves[n_tile * tile_elements..][..tile_elements];
                        for (n, halves) in halves.chunks(FLOAT_PANEL_K * TILE).enumerate() {
                            let out = &mut scratch.floats[..halves.len()];
                            let kind = *kind;
                            V::vectorize(DecodeHalves { kind, halves, out });
                            let w = &scratch.floats[..halves.len()];
                            let k0 = n * FLOAT_PANEL_K;
                            floats::<V>(w, k0, packed, *x, tiles, &mut scratch.sums);
                        }
                    }
                    Data::Floats(all) => {
                        let all = &all[n_tile * tile_elements..][..tile_elements];
                        for (n, w) in all.chunks(FLOAT_PANEL_K * TILE).enumerate() {
                            let k0 = n * FLOAT_PANEL_K;
                            floats::<V>(w, k0, packed, *x, tiles, &mut scratch.sums);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the product with a tile in blocks to the sums.
#[inline(always)]
unsafe fn ints<V: Lanes>(
    format: &Format,
    records: &[u8],
    packed: &PackedRows,
    x: usize,
    tiles: Tiles,
    scratch: &mut Scratch,
) {
    let stretch_bytes = PANEL_K / format.block * format.record_bytes();
    for (n, records) in records.chunks(stretch_bytes).enumerate() {
        let k0 = n * PANEL_K;
        let n_k = records.len() / format.record_bytes() * format.block;
        let n_subs = n_k / format.sub;
        let panel = &mut scratch.panel;
        // SAFETY: the caller vouches for V.
        unsafe {
            V::vectorize(DecodeRecords {
                format,
                records,
                panel,
            });
        }
        for (start, rows) in tiles.each() {
            let (pairs, scales, sums) = packed.ints(x, start);
            let pairs = &pairs[k0 / 2 * rows..][..n_k / 2 * rows];
            let scales = &scales[k0 / GROUP * rows..][..n_k / GROUP * rows];
            let sums = match format.has_min {
                false => None,
                true => sums.map(|sums| &sums[k0 / format.sub * rows..][..n_subs * rows]),
            };
            let c = &mut scratch.sums[start * TILE..][..rows * TILE];
            // The tiles read no further than this.
            assert!(panel.pairs.len() >= n_k / 2 * TILE && panel.d.len() >= n_subs * TILE);
            macro_rules! tile {
                ($R:ident, $PAIRS:literal) => {
                    IntTile::<$R, $PAIRS> {
                        x: pairs.as_ptr(),
                        scales: scales.as_ptr(),
                        sums: sums.map(<[f32]>::as_ptr),
                        w: panel.pairs.as_ptr(),
                        d: panel.d.as_ptr(),
                        min: panel.min.as_ptr(),
                        n_subs,
                        c: c.as_mut_ptr(),
                    }
                };
            }
            // SAFETY: the slices above have the extents of the tile's shapes.
            unsafe {
                match format.sub {
                    16 => with_rows!(V, rows, R => tile!(R, 8)),
                    _ => with_rows!(V, rows, R => tile!(R, 16)),
                }
            }
        }
    }
}

/// Adds the product with a panel `[n_k][TILE]` to the sums.
///
/// - `k0`: where the panel begins in the rows of x
#[inline(always)]
unsafe fn floats<V: Lanes>(
    w: &[f32],
    k0: usize,
    packed: &PackedRows,
    x: usize,
    tiles: Tiles,
    sums: &mut [f32],
) {
    let n_k = w.len() / TILE;
    for (start, rows) in tiles.each() {
        let x = &packed.floats(x, start)[k0 * rows..][..n_k * rows];
        let c = &mut sums[start * TILE..][..rows * TILE];
        // SAFETY: the slices have the extents of the tile's shapes; the caller vouches for V.
        unsafe {
            with_rows!(V, rows, R => FloatTile::<R, 1, R, true> {
                x: x.as_ptr(),
                w: w.as_ptr(),
                n_k,
                c: c.as_mut_ptr(),
            });
        }
    }
}
