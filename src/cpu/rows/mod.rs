//! What is done to rows between two products: the sum, the norm and the rotation by position.
//!
//! Letters: M = rows, H = width, D = head_dim.

#[cfg(test)]
mod tests;

use super::{
    simd::{Kernel, Lanes, Level},
    threads::{Shared, Threads},
};

/// Numbers that are worth a job of their own.
const JOB_ELEMENTS: usize = 1 << 14;

/// Rows of `width` in jobs: how many rows each, and how many jobs.
fn jobs(m: usize, width: usize) -> (usize, usize) {
    let rows = (JOB_ELEMENTS / width.max(1)).max(1);
    (rows, m.div_ceil(rows))
}

/// Hands each of `m` rows of `y` to `each`, the first `width` of its `stride` numbers, in jobs.
fn each_row(
    threads: Threads,
    [m, stride, width]: [usize; 3],
    y: &mut [f32],
    each: impl Fn(usize, &mut [f32]) + Sync,
) {
    assert!(y.len() == m * stride && width <= stride, "rows of {width}");
    let y = Shared::new(y);
    let (rows, n_jobs) = jobs(m, width);
    threads.run(
        n_jobs,
        || (),
        |(), job| {
            for row in job * rows..m.min((job + 1) * rows) {
                // SAFETY: a row is in one job alone.
                each(row, unsafe { y.part(row * stride, width) });
            }
        },
    );
}

/// `y = x + u`
///
/// - `x`, `y`: `[M, H]`
/// - `u`: M rows of which the first H numbers count
///
/// # Panics
///
/// Where shapes do not fit each other.
pub fn add(threads: Threads, x: &[f32], u: &[f32], width: usize, y: &mut [f32]) {
    let m = x.len() / width.max(1);
    assert!(
        x.len() == m * width && y.len() == x.len(),
        "rows of {width}"
    );
    if m == 0 {
        return;
    }
    let stride = u.len() / m;
    assert!(u.len() == m * stride && stride >= width, "rows to add");
    each_row(threads, [m, width, width], y, |row, y| {
        let terms = x[row * width..].iter().zip(&u[row * stride..]);
        (y.iter_mut().zip(terms)).for_each(|(y, (x, u))| *y = x + u);
    });
}

/// `y = x / sqrt(mean(x²) + eps) * weight`
///
/// - `x`: `[M, H]`, `weight`: `[H]`
/// - `y`: M rows of which the first H numbers are written
///
/// # Panics
///
/// Where shapes do not fit each other.
pub fn rms_norm(
    level: Level,
    threads: Threads,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    y: &mut [f32],
) {
    let width = weight.len();
    let m = x.len() / width.max(1);
    assert_eq!(x.len(), m * width, "rows of {width}");
    if m == 0 {
        return;
    }
    let stride = y.len() / m;
    assert!(y.len() == m * stride && stride >= width, "normalised rows");
    each_row(threads, [m, stride, width], y, |row, y| {
        level.run(NormRow {
            x: &x[row * width..][..width],
            weight,
            eps,
            y,
        });
    });
}

struct NormRow<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl Kernel for NormRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // As many sums as the widest vectors have lanes, in one order at every level.
        const SUMS: usize = 32;
        let mut sums = [0.0f32; SUMS];
        let (chunks, rest) = self.x.as_chunks::<SUMS>();
        for chunk in chunks {
            sums.iter_mut()
                .zip(chunk)
                .for_each(|(sum, x)| *sum += x * x);
        }
        sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
        let sum: f32 = sums.iter().sum();
        let scale = 1.0 / (sum / self.x.len() as f32 + self.eps).sqrt();
        let inputs = self.x.iter().zip(self.weight);
        for (y, (x, weight)) in self.y.iter_mut().zip(inputs) {
            *y = x * scale * weight;
        }
    }
}

/// Turns heads by their positions, half-split (NeoX) form, where they are.
///
/// - `y`: `[M, stride]`, of which the first `n_columns` numbers of a row are heads
/// - `turns`: `[M, D]`: cosine and sine of the D / 2 angles of a row, in turn
///
/// # Panics
///
/// Where shapes do not fit each other.
pub fn rope(
    level: Level,
    threads: Threads,
    turns: &[f32],
    head_dim: usize,
    n_columns: usize,
    y: &mut [f32],
) {
    assert!(head_dim > 0 && head_dim.is_multiple_of(2), "head_dim");
    let m = turns.len() / head_dim;
    assert_eq!(turns.len(), m * head_dim, "turns");
    if m == 0 {
        return assert!(y.is_empty(), "rows without turns");
    }
    let stride = y.len() / m;
    assert!(y.len() == m * stride && n_columns <= stride, "rows");
    assert!(n_columns.is_multiple_of(head_dim), "heads");
    each_row(threads, [m, stride, n_columns], y, |row, y| {
        level.run(TurnRow {
            turns: &turns[row * head_dim..][..head_dim],
            y,
        });
    });
}

struct TurnRow<'a> {
    /// `[D]`
    turns: &'a [f32],
    /// Heads of D.
    y: &'a mut [f32],
}

impl Kernel for TurnRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for head in self.y.chunks_exact_mut(self.turns.len()) {
            let (first, second) = head.split_at_mut(self.turns.len() / 2);
            let turns = self.turns.as_chunks::<2>().0;
            for ((first, second), [cos, sin]) in first.iter_mut().zip(second).zip(turns) {
                let (a, b) = (*first, *second);
                *first = a * cos - b * sin;
                *second = b * cos + a * sin;
            }
        }
    }
}
