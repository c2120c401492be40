//! Softmax attention over spans of neighbouring tokens, with memory that does not grow with them.
//!
//! 32 rows, each a query of one head, are the lanes of a job; the heads of a group stand beside
//! each other, for they share their keys. Scores are made for 64 keys at a time, keys down and
//! rows across, so that the softmax is a sum down a column and its weights are at once the panel
//! that values are multiplied with:
//!
//! ```text
//! S [keys][rows] = K · Q    most = max(most, S)    P = exp(S - most)
//! O [D][rows] = O * exp(old most - most) + Vᵀ · P
//! ```
//!
//! Letters: M = tokens, N = query heads, G = key/value heads (N is a multiple), D = head_dim.

#[cfg(test)]
mod tests;

use super::{
    activations::Tiles,
    format::TILE,
    functions::exp,
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
    tile::{FloatTile, with_rows},
};

/// Keys whose scores are held at once.
const KEYS: usize = 64;

/// Below every score, yet far from where differences overflow.
const LEAST: f32 = -1e30;

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

/// 32 rows of one span and one key head.
#[derive(Clone, Copy)]
struct Job {
    /// First token of the span.
    start: usize,
    n_tokens: usize,
    group: usize,
    /// The first of the rows: token `row / heads_per_group` of the span.
    row: usize,
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
                let rows = (0..n_tokens * self.heads_per_group()).step_by(TILE);
                jobs.extend(rows.map(|row| Job {
                    start,
                    n_tokens: *n_tokens,
                    group,
                    row,
                }));
            }
            start += n_tokens;
        }
        if self.is_causal {
            // Later rows have more keys: begin with them, so that no thread ends with a long job.
            jobs.reverse();
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
            for lane in 0..self.lanes(job) {
                let (token, head) = self.place(job, lane);
                let sum = scratch.sums[lane];
                let column = scratch.output[lane..].iter().step_by(TILE);
                // SAFETY: a row is in one job alone.
                let y = unsafe { y.part(token * width + head * self.head_dim, self.head_dim) };
                y.iter_mut().zip(column).for_each(|(y, o)| *y = o / sum);
            }
        };
        threads.run(jobs.len(), || Scratch::new(self.head_dim), job);
    }

    fn stride(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    fn heads_per_group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Rows of a job: fewer than 32 at the end of a span.
    fn lanes(&self, job: Job) -> usize {
        TILE.min(job.n_tokens * self.heads_per_group() - job.row)
    }

    /// Token and query head of a row.
    fn place(&self, job: Job, lane: usize) -> (usize, usize) {
        let per_group = self.heads_per_group();
        let row = job.row + lane;
        let head = job.group * per_group + row % per_group;
        (job.start + row / per_group, head)
    }
}

/// What a thread works in; all `[..][TILE]`.
struct Scratch {
    /// D: queries, scaled
    queries: Vec<f32>,
    /// KEYS: scores, then weights
    scores: Vec<f32>,
    /// D
    output: Vec<f32>,
    /// Largest score and sum of weights of each row.
    most: Vec<f32>,
    sums: Vec<f32>,
}

impl Scratch {
    fn new(head_dim: usize) -> Self {
        Self {
            queries: vec![0.0; head_dim * TILE],
            scores: vec![0.0; KEYS * TILE],
            output: vec![0.0; head_dim * TILE],
            most: vec![0.0; TILE],
            sums: vec![0.0; TILE],
        }
    }
}

/// The sums of one job, before they are divided.
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
        let n_lanes = attention.lanes(job);
        let scale = 1.0 / (d as f32).sqrt();
        scratch.queries.fill(0.0);
        scratch.output.fill(0.0);
        scratch.most.fill(LEAST);
        scratch.sums.fill(0.0);
        // One past the last key of each row.
        let mut ends = [job.start + job.n_tokens; TILE];
        for (lane, end) in ends.iter_mut().enumerate().take(n_lanes) {
            let (token, head) = attention.place(job, lane);
            let query = &qkv[token * stride + head * d..][..d];
            for (out, q) in scratch.queries[lane..].iter_mut().step_by(TILE).zip(query) {
                *out = q * scale;
            }
            if attention.is_causal {
                *end = token + 1;
            }
        }
        let ends = &ends[..n_lanes];
        let last = ends.iter().copied().max().unwrap_or(job.start);
        let all_see = ends.iter().copied().min().unwrap_or(job.start);
        let k_at = (attention.n_heads + job.group) * d;
        let v_at = k_at + attention.n_kv_heads * d;
        for first in (job.start..last).step_by(KEYS) {
            let n_keys = KEYS.min(last - first);
            let scores = &mut scratch.scores[..n_keys * TILE];
            scores.fill(0.0);
            for (key, rows) in Tiles::new(n_keys, V::MAX_ROWS).each() {
                let keys = &qkv[(first + key) * stride + k_at..];
                assert!(keys.len() >= (rows - 1) * stride + d);
                let c = &mut scores[key * TILE..][..rows * TILE];
                // SAFETY: `rows` keys of D numbers, D queries, `rows` scores; the caller vouches
                // for V.
                unsafe {
                    with_rows!(V, rows, R => FloatTile::<R, false> {
                        x: keys.as_ptr(),
                        x_row: stride,
                        x_k: 1,
                        w: scratch.queries.as_ptr(),
                        n_k: d,
                        c: c.as_mut_ptr(),
                    });
                }
            }
            if first + n_keys > all_see {
                for (key, scores) in scores.chunks_exact_mut(TILE).enumerate() {
                    for (score, end) in scores.iter_mut().zip(ends) {
                        if first + key >= *end {
                            *score = f32::MIN;
                        }
                    }
                }
            }
            // SAFETY: the caller vouches for V.
            unsafe { V::vectorize(Softmax { n_keys, scratch }) };
            for (dim, rows) in Tiles::new(d, V::MAX_ROWS).each() {
                let values = &qkv[first * stride + v_at + dim..];
                assert!(values.len() >= (n_keys - 1) * stride + rows);
                let c = &mut scratch.output[dim * TILE..][..rows * TILE];
                // SAFETY: `rows` numbers of each of the values, a weight for each of those, `rows`
                // sums; the caller vouches for V.
                unsafe {
                    with_rows!(V, rows, R => FloatTile::<R, false> {
                        x: values.as_ptr(),
                        x_row: 1,
                        x_k: stride,
                        w: scratch.scores.as_ptr(),
                        n_k: n_keys,
                        c: c.as_mut_ptr(),
                    });
                }
            }
        }
    }
}

/// Turns scores into weights, and takes what was summed before to the new largest score.
struct Softmax<'a> {
    n_keys: usize,
    scratch: &'a mut Scratch,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Scratch {
            scores,
            output,
            most,
            sums,
            ..
        } = self.scratch;
        let scores = &mut scores[..self.n_keys * TILE];
        for lane in (0..TILE).step_by(V::N) {
            // SAFETY: all are rows of TILE numbers, which V::N divides; the caller vouches for V.
            unsafe {
                let before = V::load(most.as_ptr().add(lane));
                let mut now = before;
                for scores in scores.chunks_exact(TILE) {
                    now = V::max(now, V::load(scores.as_ptr().add(lane)));
                }
                V::store(now, most.as_mut_ptr().add(lane));
                let shrink = exp::<V>(V::sub(before, now));
                let mut sum = V::mul(V::load(sums.as_ptr().add(lane)), shrink);
                for scores in scores.chunks_exact_mut(TILE) {
                    let at = scores.as_mut_ptr().add(lane);
                    let weight = exp::<V>(V::sub(V::load(at), now));
                    V::store(weight, at);
                    sum = V::add(sum, weight);
                }
                V::store(sum, sums.as_mut_ptr().add(lane));
                for output in output.chunks_exact_mut(TILE) {
                    let at = output.as_mut_ptr().add(lane);
                    V::store(V::mul(V::load(at), shrink), at);
                }
            }
        }
    }
}
