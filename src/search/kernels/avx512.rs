//! x86-64 with AVX-512 F and BW: sixteen lanes.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::blocked::{Lanes, entry_points};

entry_points!(Avx512, "avx512f,avx512bw,avx2,fma,popcnt");

pub struct Avx512;

impl Lanes for Avx512 {
    const WIDTH: usize = 16;
    type F32 = __m512;
    type I16 = __m512i;
    type I32 = __m512i;
    type Quad = __m128;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sums(of: [__m512; 4]) -> __m128 {
        unsafe {
            let mut halves = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                let low = _mm512_castps512_ps256(of[i]);
                let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(of[i]));
                halves[i] = _mm256_add_ps(low, _mm256_castpd_ps(high));
            }
            Avx2::sums(halves)
        }
    }

    #[inline(always)]
    unsafe fn zero_i32() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn load_i16(from: *const i16) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn multiply_add_i16(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)) }
    }

    #[inline(always)]
    unsafe fn sums_i32(of: [__m512i; 4]) -> [i32; 4] {
        unsafe { Avx2::sums_i32(halves_i32(of)) }
    }

    #[inline(always)]
    unsafe fn quad(values: [f32; 4]) -> __m128 {
        unsafe { Avx2::quad(values) }
    }

    #[inline(always)]
    unsafe fn quad_of_i32(values: [__m512i; 4]) -> __m128 {
        unsafe { Avx2::quad_of_i32(halves_i32(values)) }
    }

    #[inline(always)]
    unsafe fn quad_values(quad: __m128) -> [f32; 4] {
        unsafe { Avx2::quad_values(quad) }
    }

    #[inline(always)]
    unsafe fn quad_add(a: __m128, b: __m128) -> __m128 {
        unsafe { Avx2::quad_add(a, b) }
    }

    #[inline(always)]
    unsafe fn quad_best(best: __m128, sums: __m128, scale: f32) -> __m128 {
        unsafe { Avx2::quad_best(best, sums, scale) }
    }
}

/// The two halves of each, added.
#[inline(always)]
unsafe fn halves_i32(of: [__m512i; 4]) -> [__m256i; 4] {
    unsafe {
        let mut halves = [_mm256_setzero_si256(); 4];
        for i in 0..4 {
            let low = _mm512_castsi512_si256(of[i]);
            halves[i] = _mm256_add_epi32(low, _mm512_extracti64x4_epi64::<1>(of[i]));
        }
        halves
    }
}
