//! Softmax attention over spans of neighbouring tokens, with memory that does not grow with them.
//!
//! Rows, each a query of one head, are the lanes of tiles of 32; the heads of a group stand beside
//! each other, for they share their keys. A job has the tiles of some neighbouring tokens. It takes
//! keys and values a stretch at a time, copies them into panels, whose rows lie together as those
//! of `qkv` do not, and lets each of its tiles meet them: keys down and rows across, so that the
//! softmax is a sum down a column and its weights are at once the panel that values are multiplied
//! with:
//!
//! ```text
//! S [keys][rows] = K · Q / √D    P = 2^((S - most) log₂e)    O [D][rows] += Vᵀ · P
//! ```
//!
//! `most` follows the largest score of a row at a distance: what was summed is taken to a new one
//! only when that is larger by [`SLACK`], which is rare.
//!
//! Letters: M = tokens, N = query heads, G = key/value heads (N is a multiple), D = head_dim.

#[cfg(test)]
mod tests;

use super::{
    activations::Tiles,
    format::TILE,
    functions::exp2,
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
    tile::{FloatTile, with_rows},
};

/// Keys whose scores are held at once: a multiple of the rows of a tile at every level.
const KEYS: usize = 96;

/// Tiles of a job: so many times are keys and values used that are copied once.
const JOB_TILES: usize = 8;

/// Dimensions of a panel; larger heads have several.
const PANEL_DIMS: usize = 128;

/// Numbers from a row of a panel to the next: an odd number of cache lines, so that the same place
/// of many rows fits the first-level cache.
const PANEL_ROW: usize = PANEL_DIMS + 16;

/// Below every score, yet far from where differences overflow.
const LEAST: f32 = -1e30;

/// How far scores may lie above what is subtracted of them: weights are below `2⁸`.
const SLACK: f32 = 5.5;

/// The attention of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Query heads.
    pub n_heads: usize,
    /// Key heads, and as many value heads: a divisor of `n_heads`.
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// Tokens of each span, one span after the other; tokens see those of their own.
    pub spans: &'a [usize],
    /// Whether a token sees no later one.
    pub is_causal: bool,
}

/// Neighbouring rows of one span and one key head.
#[derive(Clone, Copy)]
struct Job {
    /// First token of the span.
    start: usize,
    n_tokens: usize,
    group: usize,
    /// The first of the rows: token `row / heads_per_group` of the span.
    row: usize,
    n_rows: usize,
}

impl Attention<'_> {
    /// - `qkv`: `[M, (N + 2 G) * D]`: query heads, key heads, value heads
    /// - `y`: `[M, N * D]`
    ///
    /// # Panics
    ///
    /// Where shapes do not fit each other.
    pub fn run(&self, level: Level, threads: Threads, qkv: &[f32], y: &mut [f32]) {
        let m: usize = self.spans.iter().sum();
        let width = self.n_heads * self.head_dim;
        assert!(self.n_heads.is_multiple_of(self.n_kv_heads), "heads");
        assert_eq!(qkv.len(), m * self.stride(), "queries, keys and values");
        assert_eq!(y.len(), m * width, "outputs");
        let mut jobs = Vec::new();
        let mut start = 0;
        for n_tokens in self.spans {
            for group in 0..self.n_kv_heads {
                let n_rows = n_tokens * self.heads_per_group();
                jobs.extend((0..n_rows).step_by(JOB_TILES * TILE).map(|row| Job {
                    start,
                    n_tokens: *n_tokens,
                    group,
                    row,
                    n_rows: (n_rows - row).min(JOB_TILES * TILE),
                }));
            }
            start += n_tokens;
        }
        if self.is_causal {
            // Later rows have more keys: begin with them, so that no thread ends with a long job.
            jobs.sort_by_key(|job| std::cmp::Reverse(job.row));
        }
        let y = Shared::new(y);
        let job = |scratch: &mut Scratch, at: usize| {
            let job = jobs[at];
            level.run(Rows {
                attention: self,
                job,
                qkv,
                scratch,
            });
            for row in 0..job.n_rows {
                let (token, head) = self.place(job, row);
                let column = &scratch.tiles[row / TILE].output[row % TILE..];
                // SAFETY: a row is in one job alone.
                let y = unsafe { y.part(token * width + head * self.head_dim, self.head_dim) };
                (y.iter_mut().zip(column.iter().step_by(TILE))).for_each(|(y, o)| *y = *o);
            }
        };
        let most_rows = jobs.iter().map(|job| job.n_rows).max().unwrap_or(0);
        let scratch = || Scratch::new(most_rows.div_ceil(TILE), self.head_dim);
        threads.run(jobs.len(), scratch, job);
    }

    fn stride(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    fn heads_per_group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Token and query head of a row of a job.
    fn place(&self, job: Job, row: usize) -> (usize, usize) {
        let per_group = self.heads_per_group();
        let row = job.row + row;
        let head = job.group * per_group + row % per_group;
        (job.start + row / per_group, head)
    }
}

/// What a thread works in.
struct Scratch {
    /// `[panels][KEYS][PANEL_ROW]` each
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[KEYS][TILE]`: scores, then weights
    scores: Vec<f32>,
    /// As many as the largest job has.
    tiles: Vec<QueryTile>,
}

/// 32 rows, and what was summed for them; all `[..][TILE]`.
struct QueryTile {
    /// One past the last key of each row.
    ends: [usize; TILE],
    /// What is subtracted of the scores of each row, and the sum of its weights.
    most: [f32; TILE],
    sums: [f32; TILE],
    /// D: queries, scaled
    queries: Vec<f32>,
    /// D
    output: Vec<f32>,
}

impl Scratch {
    fn new(n_tiles: usize, head_dim: usize) -> Self {
        let panels = vec![0.0; head_dim.div_ceil(PANEL_DIMS) * KEYS * PANEL_ROW];
        let tile = || QueryTile {
            ends: [0; TILE],
            most: [0.0; TILE],
            sums: [0.0; TILE],
            queries: vec![0.0; head_dim * TILE],
            output: vec![0.0; head_dim * TILE],
        };
        Self {
            keys: panels.clone(),
            values: panels,
            scores: vec![0.0; KEYS * TILE],
            tiles: (0..n_tiles).map(|_| tile()).collect(),
        }
    }
}

/// The outputs of one job.
struct Rows<'a> {
    attention: &'a Attention<'a>,
    job: Job,
    qkv: &'a [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self {
            attention,
            job,
            qkv,
            scratch,
        } = self;
        let (d, stride) = (attention.head_dim, attention.stride());
        let k_at = (attention.n_heads + job.group) * d;
        let v_at = k_at + attention.n_kv_heads * d;
        let n_tiles = job.n_rows.div_ceil(TILE);
        let tiles = &mut scratch.tiles[..n_tiles];
        for (n, tile) in tiles.iter_mut().enumerate() {
            tile.begin(attention, job, n * TILE, qkv);
        }
        let last = tiles.iter().map(QueryTile::last).max().unwrap_or(job.start);
        for first in (job.start..last).step_by(KEYS) {
            let n_keys = KEYS.min(last - first);
            fill(
                &mut scratch.keys,
                &qkv[first * stride + k_at..],
                n_keys,
                stride,
                d,
            );
            fill(
                &mut scratch.values,
                &qkv[first * stride + v_at..],
                n_keys,
                stride,
                d,
            );
            for tile in tiles.iter_mut().filter(|tile| first < tile.last()) {
                let n_keys = n_keys.min(tile.last() - first);
                // SAFETY: the caller vouches for V.
                unsafe {
                    V::vectorize(Stretch {
                        first,
                        keys: &scratch.keys,
                        values: &scratch.values,
                        scores: &mut scratch.scores[..n_keys * TILE],
                        tile,
                    });
                }
            }
        }
        for tile in tiles {
            // SAFETY: the caller vouches for V.
            unsafe { V::vectorize(Divide { tile }) };
        }
    }
}

/// Copies D numbers of each of `n` rows into panels.
fn fill(panels: &mut [f32], from: &[f32], n: usize, stride: usize, d: usize) {
    for (row, from) in from.chunks(stride).take(n).enumerate() {
        let panels = panels.chunks_exact_mut(KEYS * PANEL_ROW);
        for (panel, from) in panels.zip(from[..d].chunks(PANEL_DIMS)) {
            panel[row * PANEL_ROW..][..from.len()].copy_from_slice(from);
        }
    }
}

impl QueryTile {
    /// Takes the queries of 32 rows of a job, or of those that are left, from its row `row` on.
    fn begin(&mut self, attention: &Attention, job: Job, row: usize, qkv: &[f32]) {
        /// Rows that are laid out at a time: their numbers for a dimension lie together.
        const LANES: usize = 8;
        let (d, stride) = (attention.head_dim, attention.stride());
        let scale = 1.0 / (d as f32).sqrt();
        let n_lanes = TILE.min(job.n_rows - row);
        self.output.fill(0.0);
        self.most.fill(LEAST);
        self.sums.fill(0.0);
        for lanes in (0..TILE).step_by(LANES) {
            let queries: [&[f32]; LANES] = std::array::from_fn(|at| {
                let lane = lanes + at;
                // What no row is left for does as the last one does.
                let (token, head) = attention.place(job, row + lane.min(n_lanes - 1));
                self.ends[lane] = match attention.is_causal {
                    true => token + 1,
                    false => job.start + job.n_tokens,
                };
                &qkv[token * stride + head * d..][..d]
            });
            for (dim, out) in self.queries.chunks_exact_mut(TILE).enumerate() {
                for (out, query) in out[lanes..][..LANES].iter_mut().zip(queries) {
                    *out = query[dim] * scale;
                }
            }
        }
    }

    /// One past the last key that any row sees: rows stand in the order of their tokens.
    fn last(&self) -> usize {
        self.ends[TILE - 1]
    }
}

/// Adds what a tile gets of some keys and values.
struct Stretch<'a> {
    /// The token of the first key.
    first: usize,
    keys: &'a [f32],
    values: &'a [f32],
    /// `[keys][TILE]`
    scores: &'a mut [f32],
    tile: &'a mut QueryTile,
}

impl Kernel for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self {
            first,
            keys,
            values,
            scores,
            tile,
        } = self;
        let n_keys = scores.len() / TILE;
        assert!(n_keys <= KEYS);
        let queries = tile.queries.chunks(PANEL_DIMS * TILE);
        for (n, (panel, queries)) in keys.chunks_exact(KEYS * PANEL_ROW).zip(queries).enumerate() {
            for (key, rows) in Tiles::new(n_keys, V::MAX_ROWS).each() {
                let c = &mut scores[key * TILE..][..rows * TILE];
                // SAFETY: a panel has KEYS rows of at least as many numbers as there are queries,
                // and `rows` scores are there; the caller vouches for V.
                unsafe {
                    let x = panel.as_ptr().add(key * PANEL_ROW);
                    let w = queries.as_ptr();
                    let n_k = queries.len() / TILE;
                    let c = c.as_mut_ptr();
                    match n {
                        0 => {
                            with_rows!(V, rows, R => FloatTile::<R, PANEL_ROW, 1, false> { x, w, n_k, c })
                        }
                        _ => {
                            with_rows!(V, rows, R => FloatTile::<R, PANEL_ROW, 1, true> { x, w, n_k, c })
                        }
                    }
                }
            }
        }
        let rows_end = |key: usize| tile.ends.iter().map(move |end| key >= *end);
        // Ends ascend: before the first of them, every row sees every key.
        for key in tile.ends[0].max(first)..first + n_keys {
            let scores = &mut scores[(key - first) * TILE..][..TILE];
            for (score, is_past) in scores.iter_mut().zip(rows_end(key)) {
                if is_past {
                    *score = f32::MIN;
                }
            }
        }
        // SAFETY: the caller vouches for V.
        unsafe { V::vectorize(Softmax { scores, tile }) };
        let output = tile.output.chunks_mut(PANEL_DIMS * TILE);
        for (panel, output) in values.chunks_exact(KEYS * PANEL_ROW).zip(output) {
            for (dim, rows) in Tiles::new(output.len() / TILE, V::MAX_ROWS).each() {
                let c = &mut output[dim * TILE..][..rows * TILE];
                // SAFETY: a panel has KEYS rows of PANEL_ROW numbers, a weight for each row, and
                // `rows` sums are there; the caller vouches for V.
                unsafe {
                    with_rows!(V, rows, R => FloatTile::<R, 1, PANEL_ROW, true> {
                        x: panel.as_ptr().add(dim),
                        w: scores.as_ptr(),
                        n_k: n_keys,
                        c: c.as_mut_ptr(),
                    });
                }
            }
        }
    }
}

/// Turns scores into weights, and takes what was summed before to a new largest score.
struct Softmax<'a> {
    /// `[keys][TILE]`
    scores: &'a mut [f32],
    tile: &'a mut QueryTile,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { scores, tile } = self;
        let before = tile.most;
        // SAFETY: all are rows of TILE numbers, which 2 V::N divides; the caller vouches for V.
        unsafe {
            for lane in (0..TILE).step_by(2 * V::N) {
                let at = |scores: &[f32], v: usize| V::load(scores.as_ptr().add(lane + v * V::N));
                let mut now = [[V::splat(LEAST); 2]; 2];
                for (n, scores) in scores.chunks_exact(TILE).enumerate() {
                    for (v, now) in now[n % 2].iter_mut().enumerate() {
                        *now = V::max(*now, at(scores, v));
                    }
                }
                for v in 0..2 {
                    let most = tile.most.as_mut_ptr().add(lane + v * V::N);
                    let before = V::load(most);
                    let now = V::max(now[0][v], now[1][v]);
                    let is_far = V::add(before, V::splat(SLACK));
                    V::store(V::select_less(is_far, now, now, before), most);
                }
            }
            if before != tile.most {
                for lane in (0..TILE).step_by(V::N) {
                    let before = V::load(before.as_ptr().add(lane));
                    let now = V::load(tile.most.as_ptr().add(lane));
                    let shrink = weight::<V>(V::sub(before, now));
                    let sums = tile.sums.as_mut_ptr().add(lane);
                    V::store(V::mul(V::load(sums), shrink), sums);
                    for output in tile.output.chunks_exact_mut(TILE) {
                        let at = output.as_mut_ptr().add(lane);
                        V::store(V::mul(V::load(at), shrink), at);
                    }
                }
            }
            for lane in (0..TILE).step_by(V::N) {
                let most = V::load(tile.most.as_ptr().add(lane));
                let sums = tile.sums.as_mut_ptr().add(lane);
                let mut sum = V::splat(0.0);
                for scores in scores.chunks_exact_mut(TILE) {
                    let at = scores.as_mut_ptr().add(lane);
                    let weight = weight::<V>(V::sub(V::load(at), most));
                    V::store(weight, at);
                    sum = V::add(sum, weight);
                }
                V::store(V::add(V::load(sums), sum), sums);
            }
        }
    }
}

/// `e` to a difference of scores. In powers of two only now: scores of ten thousand times log₂e would
/// lose what tells them apart.
#[inline(always)]
unsafe fn weight<V: Lanes>(difference: V::F) -> V::F {
    // SAFETY: the caller vouches for V.
    unsafe { exp2::<V>(V::mul(difference, V::splat(std::f32::consts::LOG2_E))) }
}

/// Divides the sums of values by those of weights.
struct Divide<'a> {
    tile: &'a mut QueryTile,
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let QueryTile { sums, output, .. } = self.tile;
        for lane in (0..TILE).step_by(V::N) {
            // SAFETY: all are rows of TILE numbers, which V::N divides; the caller vouches for V.
            unsafe {
                let sum = V::load(sums.as_ptr().add(lane));
                let part = V::div(V::splat(1.0), sum);
                for output in output.chunks_exact_mut(TILE) {
                    let at = output.as_mut_ptr().add(lane);
                    V::store(V::mul(V::load(at), part), at);
                }
            }
        }
    }
}
