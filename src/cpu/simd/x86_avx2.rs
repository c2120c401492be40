//! 256 bits of x86-64: AVX2 with FMA and F16C, and the product of AVX-VNNI where it is there.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// `VNNI`: with AVX-VNNI.
#[derive(Clone, Copy)]
pub struct Avx2<const VNNI: bool>;

#[inline(always)]
fn count(count: u32) -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_cvtsi32_si128(count as i32) }
}

// SAFETY: `Level` hands this out only where the features of the inner functions were found.
unsafe impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    const N: usize = 8;
    // 12 of the 16 registers hold sums.
    const MAX_ROWS: usize = 6;
    type I = __m256i;
    type F = __m256;
    type Table = __m256i;

    #[inline(always)]
    unsafe fn vectorize<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn plain<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<Avx2<false>>() }
        }
        #[target_feature(enable = "avx2,avxvnni,fma,f16c")]
        unsafe fn vnni<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<Avx2<true>>() }
        }
        match VNNI {
            false => unsafe { plain(kernel) },
            true => unsafe { vnni(kernel) },
        }
    }

    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn splat_i16(value: i16) -> __m256i {
        unsafe { _mm256_set1_epi16(value) }
    }
    #[inline(always)]
    unsafe fn table(bytes: &[i8; 16]) -> __m256i {
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    unsafe fn load_i(from: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i(value: __m256i, to: *mut u8) {
        unsafe { _mm256_storeu_si256(to.cast(), value) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())) }
    }
    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_i16(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_sub_epi16(a, b) }
    }
    #[inline(always)]
    unsafe fn add_i32(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn shl_i16(a: __m256i, by: u32) -> __m256i {
        unsafe { _mm256_sll_epi16(a, count(by)) }
    }
    #[inline(always)]
    unsafe fn shr_u16(a: __m256i, by: u32) -> __m256i {
        unsafe { _mm256_srl_epi16(a, count(by)) }
    }
    #[inline(always)]
    unsafe fn shr_i16(a: __m256i, by: u32) -> __m256i {
        unsafe { _mm256_sra_epi16(a, count(by)) }
    }
    #[inline(always)]
    unsafe fn shl_i32(a: __m256i, by: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(a, count(by)) }
    }
    #[inline(always)]
    unsafe fn lookup(table: __m256i, index: __m256i) -> __m256i {
        unsafe { _mm256_shuffle_epi8(table, index) }
    }
    #[inline(always)]
    unsafe fn dot_i16(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        match VNNI {
            false => unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) },
            true => unsafe { _mm256_dpwssd_avx_epi32(sum, a, b) },
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(value: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn from_i32(value: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(value) }
    }
    #[inline(always)]
    unsafe fn from_bits(bits: __m256i) -> __m256 {
        unsafe { _mm256_castsi256_ps(bits) }
    }
    #[inline(always)]
    unsafe fn to_bits(value: __m256) -> __m256i {
        unsafe { _mm256_castps_si256(value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn select_less(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }
}
