//! WebAssembly with simd128: four lanes.

use std::arch::wasm32::*;

use super::blocked::{Lanes, entry_points};

entry_points!(Simd128, "simd128");

pub struct Simd128;

impl Lanes for Simd128 {
    const WIDTH: usize = 4;
    type F32 = v128;
    type I16 = v128;
    type I32 = v128;
    type Quad = v128;

    #[inline(always)]
    unsafe fn zero() -> v128 {
        f32x4_splat(0.0)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: v128, a: v128, b: v128) -> v128 {
        f32x4_add(sum, f32x4_mul(a, b))
    }

    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [v128; 4]) -> v128 {
        let ab = f32x4_add(
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        );
        let cd = f32x4_add(
            i32x4_shuffle::<0, 4, 1, 5>(c, d),
            i32x4_shuffle::<2, 6, 3, 7>(c, d),
        );
        f32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd))
    }

    #[inline(always)]
    unsafe fn zero_i32() -> v128 {
        i32x4_splat(0)
    }

    #[inline(always)]
    unsafe fn load_i16(from: *const i16) -> v128 {
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> v128 {
        unsafe { i16x8_load_extend_i8x8(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add_i16(sum: v128, a: v128, b: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    unsafe fn sums_i32(of: [v128; 4]) -> [i32; 4] {
        let sums = sums_i32(of);
        [
            i32x4_extract_lane::<0>(sums),
            i32x4_extract_lane::<1>(sums),
            i32x4_extract_lane::<2>(sums),
            i32x4_extract_lane::<3>(sums),
        ]
    }

    #[inline(always)]
    unsafe fn quad([a, b, c, d]: [f32; 4]) -> v128 {
        f32x4(a, b, c, d)
    }

    #[inline(always)]
    unsafe fn quad_of_i32(values: [v128; 4]) -> v128 {
        f32x4_convert_i32x4(sums_i32(values))
    }

    #[inline(always)]
    unsafe fn quad_values(quad: v128) -> [f32; 4] {
        [
            f32x4_extract_lane::<0>(quad),
            f32x4_extract_lane::<1>(quad),
            f32x4_extract_lane::<2>(quad),
            f32x4_extract_lane::<3>(quad),
        ]
    }

    #[inline(always)]
    unsafe fn quad_add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    unsafe fn quad_best(best: v128, sums: v128, scale: f32) -> v128 {
        f32x4_pmax(best, f32x4_mul(sums, f32x4_splat(scale)))
    }
}

#[inline(always)]
fn sums_i32([a, b, c, d]: [v128; 4]) -> v128 {
    let ab = i32x4_add(
        i32x4_shuffle::<0, 4, 1, 5>(a, b),
        i32x4_shuffle::<2, 6, 3, 7>(a, b),
    );
    let cd = i32x4_add(
        i32x4_shuffle::<0, 4, 1, 5>(c, d),
        i32x4_shuffle::<2, 6, 3, 7>(c, d),
    );
    i32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd))
}
