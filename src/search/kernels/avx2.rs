//! x86-64 with AVX2, FMA and POPCNT: eight lanes.

use std::arch::x86_64::*;

use super::blocked::{Lanes, entry_points};

entry_points!(Avx2, "avx2,fma,popcnt");

pub struct Avx2;

impl Lanes for Avx2 {
    const WIDTH: usize = 8;
    type F32 = __m256;
    type I16 = __m256i;
    type I32 = __m256i;
    type Quad = __m128;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [__m256; 4]) -> __m128 {
        unsafe {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let low = _mm256_castps256_ps128(pairs);
            _mm_add_ps(low, _mm256_extractf128_ps::<1>(pairs))
        }
    }

    #[inline(always)]
    unsafe fn zero_i32() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn load_i16(from: *const i16) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn multiply_add_i16(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
    }

    #[inline(always)]
    unsafe fn sums_i32(of: [__m256i; 4]) -> [i32; 4] {
        unsafe { std::mem::transmute(sums_i32(of)) }
    }

    #[inline(always)]
    unsafe fn quad([a, b, c, d]: [f32; 4]) -> __m128 {
        unsafe { _mm_setr_ps(a, b, c, d) }
    }

    #[inline(always)]
    unsafe fn quad_of_i32(values: [__m256i; 4]) -> __m128 {
        unsafe { _mm_cvtepi32_ps(sums_i32(values)) }
    }

    #[inline(always)]
    unsafe fn quad_values(quad: __m128) -> [f32; 4] {
        let mut values = [0.0; 4];
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), quad) };
        values
    }

    #[inline(always)]
    unsafe fn quad_add(a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn quad_best(best: __m128, sums: __m128, scale: f32) -> __m128 {
        unsafe { _mm_max_ps(best, _mm_mul_ps(sums, _mm_set1_ps(scale))) }
    }
}

#[inline(always)]
unsafe fn sums_i32([a, b, c, d]: [__m256i; 4]) -> __m128i {
    unsafe {
        let pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let low = _mm256_castsi256_si128(pairs);
        _mm_add_epi32(low, _mm256_extracti128_si256::<1>(pairs))
    }
}
