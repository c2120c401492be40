//! The vectors that the processor has, behind one trait, and the choice among them at run time.
//!
//! A [`Kernel`] is written once over [`Lanes`]. [`Level::run`] compiles it for every instruction
//! set of the target and calls the one that this processor has:
//!
//! | level | where | product of 16-bit pairs |
//! | --- | --- | --- |
//! | `Avx512` | x86-64 with AVX-512 F, BW, DQ, VL and VNNI | `vpdpwssd`, 512 bits |
//! | `AvxVnni` | x86-64 with AVX2 and AVX-VNNI | `vpdpwssd`, 256 bits |
//! | `Avx2` | x86-64 with AVX2, FMA and F16C | `vpmaddwd`, 256 bits |
//! | `Neon` | every aarch64 | `smull` and `addp`, 128 bits |
//! | `Simd128` | every wasm | `i32x4.dot_i16x8_s`, 128 bits |
//! | `Scalar` | everywhere | plain Rust |
//!
//! Integer results are the same bits at every level. Results in f32 differ in the last bits, where
//! one level has a fused multiply-add and another rounds twice.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod scalar;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512;

/// A computation over vectors of any width.
///
/// `run` and every generic function under it must be `#[inline(always)]`: that is how the
/// instructions of a level reach them.
pub trait Kernel {
    type Output;

    /// # Safety
    ///
    /// The processor has the instructions of `V`.
    unsafe fn run<V: Lanes>(self) -> Self::Output;
}

/// Vectors of `N` lanes of 32 bits.
///
/// `I` is seen as `N` integers of 32 bits or as `2 N` of 16; methods say which.
///
/// # Safety
///
/// Every method needs the processor's instructions for it; those with a pointer access `N`
/// elements from there, with no need of alignment.
pub unsafe trait Lanes: Copy + 'static {
    /// Lanes of 32 bits: a divisor of 16, as two vectors make a strip of a tile of 32.
    const N: usize;
    /// Rows of x that a tile of a product computes at most.
    const MAX_ROWS: usize;
    type I: Copy;
    type F: Copy;
    type Table: Copy;

    /// Calls a function that may use these vectors, compiled apart from the caller.
    unsafe fn vectorize<K: Kernel>(kernel: K) -> K::Output;

    unsafe fn splat_i32(value: i32) -> Self::I;
    unsafe fn splat_i16(value: i16) -> Self::I;
    /// What [`lookup`](Self::lookup) looks into.
    unsafe fn table(bytes: &[i8; 16]) -> Self::Table;
    unsafe fn load_i(from: *const u8) -> Self::I;
    unsafe fn store_i(value: Self::I, to: *mut u8);
    /// `N` bytes, widened to lanes with their sign.
    unsafe fn load_i8(from: *const u8) -> Self::I;
    unsafe fn and(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn sub_i16(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I;
    /// `count` below 16, zeros in.
    unsafe fn shl_i16(a: Self::I, count: u32) -> Self::I;
    unsafe fn shr_u16(a: Self::I, count: u32) -> Self::I;
    unsafe fn shr_i16(a: Self::I, count: u32) -> Self::I;
    unsafe fn shl_i32(a: Self::I, count: u32) -> Self::I;
    /// The bytes of `table` at the places that the bytes of `index` name, each below 16.
    unsafe fn lookup(table: Self::Table, index: Self::I) -> Self::I;
    /// `sum + a₀ b₀ + a₁ b₁` in each lane, of its two 16-bit halves. Wraps.
    unsafe fn dot_i16(sum: Self::I, a: Self::I, b: Self::I) -> Self::I;

    unsafe fn splat(value: f32) -> Self::F;
    unsafe fn load(from: *const f32) -> Self::F;
    unsafe fn store(value: Self::F, to: *mut f32);
    /// `N` halves, exactly.
    unsafe fn load_f16(from: *const u16) -> Self::F;
    unsafe fn from_i32(value: Self::I) -> Self::F;
    /// The same bits as a number.
    unsafe fn from_bits(bits: Self::I) -> Self::F;
    unsafe fn to_bits(value: Self::F) -> Self::I;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a b + c`, rounded once where the processor can.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a b`, rounded once where the processor can.
    unsafe fn neg_mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` where `b` is NaN.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` where `b` is NaN.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `yes` where `a < b`, `no` elsewhere and where either is NaN.
    unsafe fn select_less(a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
}

/// An instruction set that this processor has: values come from [`Level::best`] and
/// [`Level::available`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_family = "wasm")]
    Simd128,
}

impl Level {
    /// The fastest.
    pub fn best() -> Level {
        let [.., best] = Self::available()[..] else {
            return Level(Set::Scalar);
        };
        best
    }

    /// All, the slowest first.
    pub fn available() -> Vec<Level> {
        #[allow(unused_mut)]
        let mut sets = vec![Set::Scalar];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            sets.push(Set::Avx2);
            if is_x86_feature_detected!("avxvnni") {
                sets.push(Set::AvxVnni);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                sets.push(Set::Avx512);
            }
        }
        // Part of the architecture.
        #[cfg(target_arch = "aarch64")]
        sets.push(Set::Neon);
        // A module with these instructions loads only where the engine has them.
        #[cfg(target_family = "wasm")]
        sets.push(Set::Simd128);
        sets.into_iter().map(Level).collect()
    }

    /// What to call it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            #[cfg(target_family = "wasm")]
            Set::Simd128 => "simd128",
        }
    }

    /// Rows of x that a tile of a product computes at most.
    pub fn max_rows(self) -> usize {
        struct MaxRows;
        impl Kernel for MaxRows {
            type Output = usize;
            #[inline(always)]
            unsafe fn run<V: Lanes>(self) -> usize {
                V::MAX_ROWS
            }
        }
        self.run(MaxRows)
    }

    /// Runs a kernel with these instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: a level exists only where its instructions were found.
        unsafe {
            match self.0 {
                Set::Scalar => scalar::Scalar::vectorize(kernel),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => x86_avx2::Avx2::<false>::vectorize(kernel),
                #[cfg(target_arch = "x86_64")]
                Set::AvxVnni => x86_avx2::Avx2::<true>::vectorize(kernel),
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => x86_avx512::Avx512::vectorize(kernel),
                #[cfg(target_arch = "aarch64")]
                Set::Neon => aarch64::Neon::vectorize(kernel),
                #[cfg(target_family = "wasm")]
                Set::Simd128 => wasm::Simd128::vectorize(kernel),
            }
        }
    }
}
