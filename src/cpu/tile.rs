//! The innermost loops of a product: some rows of x times the [`TILE`] rows of a panel, added to
//! f32 sums in memory.
//!
//! Letters: R = rows of x in the tile, K = the stretch of the panel.

use super::{
    format::TILE,
    simd::{Kernel, Lanes},
};

/// Vectors of a strip: with [`Lanes::MAX_ROWS`] rows their sums fill the registers.
const WIDTH: usize = 2;

/// `c[r][n] += Σ_sub (Σ_k x[r][k] w[n][k]) d[sub][n] scale[r] - min[sub][n] sum[r]`, the inner sum
/// in whole numbers.
///
/// - `PAIRS`: half the weights of a sub-block, 8 or 16
pub struct IntTile<const R: usize, const PAIRS: usize> {
    /// `[K / 2][R]` pairs of 16 bits
    pub x: *const i32,
    /// `[K / 32][R]`: what a unit of x stands for
    pub scales: *const f32,
    /// `[K / (2 PAIRS)][R]`: the sum of x over a sub-block, if the format has minima
    pub sums: Option<*const f32>,
    /// `[K / 2][TILE]` pairs of 16 bits
    pub w: *const i32,
    /// `[n_subs][TILE]`
    pub d: *const f32,
    /// `[n_subs][TILE]`
    pub min: *const f32,
    pub n_subs: usize,
    /// `[R][TILE]`
    pub c: *mut f32,
}

impl<const R: usize, const PAIRS: usize> Kernel for IntTile<R, PAIRS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the pointers have the extents of their shapes, by the caller's word.
        unsafe {
            // Strips inside: where one strip follows itself, compilers keep its f32 sums in
            // registers from sub-block to sub-block, and the whole ones go to the stack.
            for sub in 0..self.n_subs {
                for strip in (0..TILE).step_by(WIDTH * V::N) {
                    let mut acc = [[V::splat_i32(0); WIDTH]; R];
                    let x = self.x.add(sub * PAIRS * R);
                    let w = self.w.add(sub * PAIRS * TILE + strip);
                    for pair in 0..PAIRS {
                        let w: [V::I; WIDTH] = std::array::from_fn(|v| {
                            V::load_i(w.add(pair * TILE + v * V::N).cast())
                        });
                        for (r, acc) in acc.iter_mut().enumerate() {
                            let x = V::splat_i32(*x.add(pair * R + r));
                            for (acc, w) in acc.iter_mut().zip(w) {
                                *acc = V::dot_i16(*acc, w, x);
                            }
                        }
                    }
                    let scales = self.scales.add(sub * PAIRS / 16 * R);
                    for (v, at) in (0..WIDTH).map(|v| (v, strip + v * V::N)) {
                        let d = V::load(self.d.add(sub * TILE + at));
                        for (r, acc) in acc.iter().enumerate() {
                            let c = self.c.add(r * TILE + at);
                            let product = V::mul(V::from_i32(acc[v]), d);
                            let sum = V::mul_add(product, V::splat(*scales.add(r)), V::load(c));
                            V::store(sum, c);
                        }
                    }
                    if let Some(sums) = self.sums {
                        let sums = sums.add(sub * R);
                        for at in (0..WIDTH).map(|v| strip + v * V::N) {
                            let min = V::load(self.min.add(sub * TILE + at));
                            for r in 0..R {
                                let c = self.c.add(r * TILE + at);
                                let sum = V::splat(*sums.add(r));
                                V::store(V::neg_mul_add(min, sum, V::load(c)), c);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `c[r][n] += Σ_k x[r][k] w[k][n]` in f32.
///
/// - `ROW`, `STEP`: numbers from a row of x to the next, and from a k to the next. They are
///   constants so that one register leads to all rows.
/// - `ADD`: or else the sum takes the place of what is there
pub struct FloatTile<const R: usize, const ROW: usize, const STEP: usize, const ADD: bool> {
    pub x: *const f32,
    /// `[K][TILE]`
    pub w: *const f32,
    pub n_k: usize,
    /// `[R][TILE]`
    pub c: *mut f32,
}

impl<const R: usize, const ROW: usize, const STEP: usize, const ADD: bool> Kernel
    for FloatTile<R, ROW, STEP, ADD>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the pointers have the extents of their shapes, by the caller's word.
        unsafe {
            for strip in (0..TILE).step_by(WIDTH * V::N) {
                let c = self.c.add(strip);
                // Summed apart from c: the fewer terms a sum has, the less its roundings add up to.
                let mut acc = [[V::splat(0.0); WIDTH]; R];
                for k in 0..self.n_k {
                    let w: [V::F; WIDTH] =
                        std::array::from_fn(|v| V::load(self.w.add(k * TILE + strip + v * V::N)));
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let x = V::splat(*self.x.add(k * STEP + r * ROW));
                        for (acc, w) in acc.iter_mut().zip(w) {
                            *acc = V::mul_add(w, x, *acc);
                        }
                    }
                }
                for (r, acc) in acc.iter().enumerate() {
                    for (v, acc) in acc.iter().enumerate() {
                        let c = c.add(r * TILE + v * V::N);
                        let sum = match ADD {
                            true => V::add(V::load(c), *acc),
                            false => *acc,
                        };
                        V::store(sum, c);
                    }
                }
            }
        }
    }
}

/// Calls the tile of `$rows` rows, a number from 1 to [`Lanes::MAX_ROWS`], with its rows as a constant.
macro_rules! with_rows {
    ($V:ident, $rows:expr, $R:ident => $tile:expr) => {
        with_rows!(@ $V, $rows, $R => $tile; 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $V:ident, $rows:expr, $R:ident => $tile:expr; $($n:literal)*) => {
        match $rows {
            $($n => {
                if $n <= $V::MAX_ROWS {
                    const $R: usize = $n;
                    $V::vectorize($tile)
                }
            })*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}
pub(super) use with_rows;
