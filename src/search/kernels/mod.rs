//! The inner loops: products, distances and best matches over rows that lie one after the other.
//!
//! - [`scalar`]: plain loops, the reference and the form for processors without SIMD
//! - [`blocked`]: the same in blocks of rows and lanes, written once over the trait `Lanes`
//! - `simd128` (WebAssembly), `avx2`, `avx512` (x86-64): what a lane is there
//!
//! Integer kernels give equal numbers everywhere. Sums of `f32` differ in their last bits, since the
//! order of additions differs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "wasm32"))]
mod blocked;
mod scalar;
#[cfg(target_arch = "wasm32")]
mod simd128;

/// A set of kernels that this machine can run. Every way to get one asks the machine first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "wasm32")]
    Simd128,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Runs the kernel of the level at hand.
macro_rules! dispatch {
    ($level:expr, $kernel:ident($($argument:expr),*)) => {
        match $level {
            Level::Scalar => scalar::$kernel($($argument),*),
            #[cfg(target_arch = "wasm32")]
            // SAFETY: a module with these instructions starts only where they are, and the caller of this
            // macro asserts the lengths.
            Level::Simd128 => unsafe { simd128::$kernel($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` of this level are made only where the processor has the features, and the
            // caller of this macro asserts the lengths.
            Level::Avx2 => unsafe { avx2::$kernel($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::$kernel($($argument),*) },
        }
    };
}

impl Kernels {
    /// The plain loops.
    pub const fn scalar() -> Kernels {
        Kernels(Level::Scalar)
    }

    /// The widest set that this machine has.
    pub fn detect() -> Kernels {
        Kernels::all().last().copied().unwrap_or(Kernels::scalar())
    }

    /// Every set that this machine has, narrowest first.
    pub fn all() -> Vec<Kernels> {
        #[allow(unused_mut)]
        let mut all = vec![Kernels(Level::Scalar)];
        #[cfg(target_arch = "wasm32")]
        all.push(Kernels(Level::Simd128));
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt");
            if avx2 {
                all.push(Kernels(Level::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                all.push(Kernels(Level::Avx512));
            }
        }
        all
    }

    /// The name of the instruction set.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "wasm32")]
            Level::Simd128 => "simd128",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// `out[i] = query · rows[i * stride ..][.. query.len()]`
    ///
    /// - `rows`: `[out.len(), stride]`, of which the first `query.len()` columns are read
    pub(super) fn dots_f32(self, query: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
        assert!(query.len() <= stride && rows.len() >= out.len() * stride);
        dispatch!(self.0, dots_f32(query, rows, stride, out));
    }

    /// The products of a query with four rows of its length, which may lie anywhere.
    pub(super) fn dots_of_four(self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        assert!(rows.iter().all(|row| row.len() >= query.len()));
        dispatch!(self.0, dots_of_four(query, rows))
    }

    /// `out[i] = query · rows[i]`, exactly. The caller sees to it that no sum leaves 32 bits.
    ///
    /// - `rows`: `[out.len(), query.len()]`
    pub(super) fn dots_i8(self, query: &[i16], rows: &[i8], out: &mut [i32]) {
        assert!(rows.len() >= out.len() * query.len());
        dispatch!(self.0, dots_i8(query, rows, out));
    }

    /// `out[i]` = number of bits in which `query` and `rows[i]` differ.
    ///
    /// - `rows`: `[out.len(), query.len()]`
    pub(super) fn hamming(self, query: &[u64], rows: &[u64], out: &mut [u32]) {
        assert!(rows.len() >= out.len() * query.len());
        dispatch!(self.0, hamming(query, rows, out));
    }

    /// `best[q] = max(best[q], (queries[q] · tokens[t]) * scales[t])` over all `t`.
    ///
    /// - `queries`: `[best.len(), width]`
    /// - `tokens`: `[scales.len(), width]`
    pub(super) fn best_f32(
        self,
        width: usize,
        queries: &[f32],
        tokens: &[f32],
        scales: &[f32],
        best: &mut [f32],
    ) {
        assert!(queries.len() >= best.len() * width && tokens.len() >= scales.len() * width);
        dispatch!(self.0, best_f32(width, queries, tokens, scales, best));
    }

    /// [`Kernels::best_f32`] of numbers stored in a byte each.
    pub(super) fn best_i8(
        self,
        width: usize,
        queries: &[i16],
        tokens: &[i8],
        scales: &[f32],
        best: &mut [f32],
    ) {
        assert!(queries.len() >= best.len() * width && tokens.len() >= scales.len() * width);
        dispatch!(self.0, best_i8(width, queries, tokens, scales, best));
    }
}

#[cfg(test)]
mod tests;
