//! `y = x Wᵀ (+ bias) (+ (x Aᵀ) Bᵀ) (+ residual)` on slices.
//!
//! 1. Rows of x are taken in blocks of at most 256 and packed for the tiles.
//! 2. For each 32 rows of W, which is one job for some thread: a stretch of K is decoded into the
//!    first-level cache, and multiplied with every tile of the block; then the next stretch.
//! 3. The sums, on which the low-rank update is put in the same way, go out with what is added.
//!
//! A result depends on its row of x and its row of W alone: not on M, nor on the threads.
//!
//! Letters: M = rows of x, K = inputs, N = outputs, R = rank.

use super::{
    activations::{Ints, PackInts, Tiles, pack_floats},
    format::{Format, GROUP, TILE},
    matrix::{Data, Matrix},
    panel::{DecodeHalves, DecodeRecords, FLOAT_PANEL_K, IntPanel, PANEL_K},
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
    tile::{FloatTile, IntTile, with_rows},
};

/// Rows of x that are packed together: the weights are decoded once for all of them.
const MAX_BLOCK_ROWS: usize = 256;

/// Elements of x from which threads help with the packing.
const MIN_SHARED_ELEMENTS: usize = 1 << 17;

/// A linear layer.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// `[N, K]`
    pub weight: &'a Matrix,
    /// `[N]`
    pub bias: Option<&'a [f32]>,
    /// A `[R, K]` and B `[N, R]`
    pub update: Option<(&'a Matrix, &'a Matrix)>,
}

impl Linear<'_> {
    /// - `x`: `[M, K]`
    /// - `residual`: `[M, N]`
    /// - `y`: `[M, N]`
    ///
    /// # Panics
    ///
    /// Where shapes do not fit each other.
    pub fn forward(
        &self,
        level: Level,
        threads: Threads,
        x: &[f32],
        residual: Option<&[f32]>,
        y: &mut [f32],
    ) {
        let [n, k] = self.weight.shape();
        if n == 0 || y.is_empty() {
            return assert!(y.is_empty(), "outputs of a matrix without rows");
        }
        let m = y.len() / n;
        assert_eq!(y.len(), m * n, "outputs");
        assert_eq!(x.len(), m * k, "inputs of {m} rows of {k}");
        assert!(self.bias.is_none_or(|bias| bias.len() == n), "bias");
        assert!(residual.is_none_or(|all| all.len() == y.len()), "residual");
        if let Some((a, b)) = self.update {
            assert_eq!(a.shape()[1], k, "columns of A");
            assert_eq!(b.shape(), [n, a.shape()[0]], "shape of B");
        }
        let max_rows = level.max_rows();
        let n_blocks = m.div_ceil(MAX_BLOCK_ROWS);
        for block in 0..n_blocks {
            let (start, end) = (block * m / n_blocks, (block + 1) * m / n_blocks);
            let tiles = Tiles::new(end - start, max_rows);
            let x = &x[start * k..end * k];
            let mut terms = vec![Term::new(level, threads, self.weight, x, tiles)];
            if let Some((a, b)) = self.update {
                let mut t = vec![0.0; tiles.m * a.shape()[0]];
                let down = Linear {
                    weight: a,
                    bias: None,
                    update: None,
                };
                down.forward(level, threads, x, None, &mut t);
                terms.push(Term::new(level, threads, b, &t, tiles));
            }
            let y = Shared::new(&mut y[start * n..end * n]);
            let job = |scratch: &mut Scratch, n_tile: usize| {
                level.run(Job {
                    terms: &terms,
                    tiles,
                    n_tile,
                    scratch,
                });
                let first = n_tile * TILE;
                let width = TILE.min(n - first);
                for (row, sums) in scratch.sums.chunks_exact(TILE).enumerate() {
                    let at = row * n + first;
                    // SAFETY: a job has the columns of its tile to itself.
                    let y = unsafe { y.part(at, width) };
                    y.copy_from_slice(&sums[..width]);
                    if let Some(bias) = self.bias {
                        add(y, &bias[first..]);
                    }
                    if let Some(residual) = residual {
                        add(y, &residual[start * n + at..]);
                    }
                }
            };
            threads.run(n.div_ceil(TILE), || Scratch::new(tiles.m), job);
        }
    }
}

fn add(y: &mut [f32], addend: &[f32]) {
    y.iter_mut()
        .zip(addend)
        .for_each(|(y, addend)| *y += addend);
}

/// A matrix with the rows to multiply it with.
struct Term<'a> {
    matrix: &'a Matrix,
    x: Packed,
}

enum Packed {
    Ints(Ints),
    /// Tile after tile `[K][R]`
    Floats(Vec<f32>),
}

impl<'a> Term<'a> {
    fn new(level: Level, threads: Threads, matrix: &'a Matrix, x: &[f32], tiles: Tiles) -> Self {
        let k = matrix.shape()[1];
        let threads = match x.len() < MIN_SHARED_ELEMENTS {
            true => Threads::ONE,
            false => threads,
        };
        let x = match matrix.data() {
            Data::Blocks(format, _) => Packed::Ints(pack_ints(level, threads, format, k, x, tiles)),
            Data::Halves(..) | Data::Floats(_) => {
                let mut packed = vec![0.0; x.len()];
                let shared = Shared::new(&mut packed);
                threads.run(
                    tiles.n_tiles,
                    || (),
                    |(), tile| {
                        let (start, rows) = tiles.at(tile);
                        // SAFETY: a job has its tile to itself.
                        let out = unsafe { shared.part(start * k, rows * k) };
                        pack_floats(&x[start * k..][..rows * k], k, rows, out);
                    },
                );
                Packed::Floats(packed)
            }
        };
        Self { matrix, x }
    }
}

fn pack_ints(
    level: Level,
    threads: Threads,
    format: &Format,
    k: usize,
    x: &[f32],
    tiles: Tiles,
) -> Ints {
    let mut ints = Ints::new(tiles.m, k, format);
    let pairs = Shared::new(&mut ints.pairs);
    let scales = Shared::new(&mut ints.scales);
    let sums = ints.sums.as_mut().map(|sums| Shared::new(sums));
    threads.run(
        tiles.n_tiles,
        || (),
        |(), tile| {
            let (start, rows) = tiles.at(tile);
            let x = &x[start * k..][..rows * k];
            // SAFETY: a job has its tile to itself.
            unsafe {
                level.run(PackInts {
                    x,
                    k,
                    rows,
                    sub: format.sub,
                    pairs: pairs.part(start * k / 2, x.len() / 2),
                    scales: scales.part(start * k / GROUP, x.len() / GROUP),
                    sums: sums
                        .as_ref()
                        .map(|sums| sums.part(start * k / format.sub, x.len() / format.sub)),
                });
            }
        },
    );
    ints
}

/// What a thread works in.
struct Scratch {
    panel: IntPanel,
    /// `[FLOAT_PANEL_K][TILE]`
    floats: Vec<f32>,
    /// `[M][TILE]`
    sums: Vec<f32>,
}

impl Scratch {
    fn new(m: usize) -> Self {
        Self {
            panel: IntPanel::new(),
            floats: vec![0.0; FLOAT_PANEL_K * TILE],
            sums: vec![0.0; m * TILE],
        }
    }
}

/// The sums of one tile of W with all rows of a block.
struct Job<'a> {
    terms: &'a [Term<'a>],
    tiles: Tiles,
    n_tile: usize,
    scratch: &'a mut Scratch,
}

impl Kernel for Job<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self {
            terms,
            tiles,
            n_tile,
            scratch,
        } = self;
        scratch.sums.fill(0.0);
        for Term { matrix, x } in terms {
            let k = matrix.shape()[1];
            let tile_elements = k * TILE;
            // SAFETY: the caller vouches for V.
            unsafe {
                match (matrix.data(), x) {
                    (Data::Blocks(format, records), Packed::Ints(x)) => {
                        let tile_bytes = k / format.block * format.record_bytes();
                        let records = &records[n_tile * tile_bytes..][..tile_bytes];
                        ints::<V>(format, records, k, x, tiles, scratch);
                    }
                    (Data::Halves(kind, halves), Packed::Floats(x)) => {
                        let halves = &halves[n_tile * tile_elements..][..tile_elements];
                        for (n, halves) in halves.chunks(FLOAT_PANEL_K * TILE).enumerate() {
                            let out = &mut scratch.floats[..halves.len()];
                            let kind = *kind;
                            V::vectorize(DecodeHalves { kind, halves, out });
                            let k0 = n * FLOAT_PANEL_K;
                            floats::<V>(
                                &scratch.floats[..halves.len()],
                                k,
                                k0,
                                x,
                                tiles,
                                &mut scratch.sums,
                            );
                        }
                    }
                    (Data::Floats(all), Packed::Floats(x)) => {
                        let all = &all[n_tile * tile_elements..][..tile_elements];
                        for (n, w) in all.chunks(FLOAT_PANEL_K * TILE).enumerate() {
                            floats::<V>(w, k, n * FLOAT_PANEL_K, x, tiles, &mut scratch.sums);
                        }
                    }
                    _ => unreachable!("rows are packed for their matrix"),
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
    k: usize,
    x: &Ints,
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
            let (pairs, scales, sums) = x.tile(start, k);
            let pairs = &pairs[k0 / 2 * rows..][..n_k / 2 * rows];
            let scales = &scales[k0 / GROUP * rows..][..n_k / GROUP * rows];
            let sums = sums.map(|sums| &sums[k0 / format.sub * rows..][..n_subs * rows]);
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
/// - `k0`: where the panel begins in the rows of `k`
#[inline(always)]
unsafe fn floats<V: Lanes>(
    w: &[f32],
    k: usize,
    k0: usize,
    x: &[f32],
    tiles: Tiles,
    sums: &mut [f32],
) {
    let n_k = w.len() / TILE;
    for (start, rows) in tiles.each() {
        let x = &x[start * k + k0 * rows..][..n_k * rows];
        let c = &mut sums[start * TILE..][..rows * TILE];
        // SAFETY: the slices have the extents of the tile's shapes; the caller vouches for V.
        unsafe {
            with_rows!(V, rows, R => FloatTile::<R, true> {
                x: x.as_ptr(),
                x_row: 1,
                x_k: R,
                w: w.as_ptr(),
                n_k,
                c: c.as_mut_ptr(),
            });
        }
    }
}
