//! 128 bits of WebAssembly: the `simd128` that every engine with WebGPU has.

use std::arch::wasm32::*;

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct Simd128;

// SAFETY: a module that holds these instructions loads only where the engine has them.
unsafe impl Lanes for Simd128 {
    const N: usize = 4;
    // With a vector for a product and one for x, 12 of the 16 registers of x86-64 are in use.
    const MAX_ROWS: usize = 4;
    type I = v128;
    type F = v128;
    type Table = v128;

    #[inline(always)]
    unsafe fn vectorize<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "simd128")]
        unsafe fn inner<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<Simd128>() }
        }
        unsafe { inner(kernel) }
    }

    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> v128 {
        i32x4_splat(value)
    }
    #[inline(always)]
    unsafe fn splat_i16(value: i16) -> v128 {
        i16x8_splat(value)
    }
    #[inline(always)]
    unsafe fn table(bytes: &[i8; 16]) -> v128 {
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn load_i(from: *const u8) -> v128 {
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i(value: v128, to: *mut u8) {
        unsafe { v128_store(to.cast(), value) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> v128 {
        unsafe { i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(v128_load32_zero(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn and(a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }
    #[inline(always)]
    unsafe fn or(a: v128, b: v128) -> v128 {
        v128_or(a, b)
    }
    #[inline(always)]
    unsafe fn sub_i16(a: v128, b: v128) -> v128 {
        i16x8_sub(a, b)
    }
    #[inline(always)]
    unsafe fn add_i32(a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn shl_i16(a: v128, by: u32) -> v128 {
        i16x8_shl(a, by)
    }
    #[inline(always)]
    unsafe fn shr_u16(a: v128, by: u32) -> v128 {
        u16x8_shr(a, by)
    }
    #[inline(always)]
    unsafe fn shr_i16(a: v128, by: u32) -> v128 {
        i16x8_shr(a, by)
    }
    #[inline(always)]
    unsafe fn shl_i32(a: v128, by: u32) -> v128 {
        i32x4_shl(a, by)
    }
    #[inline(always)]
    unsafe fn lookup(table: v128, index: v128) -> v128 {
        i8x16_swizzle(table, index)
    }
    #[inline(always)]
    unsafe fn dot_i16(sum: v128, a: v128, b: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> v128 {
        f32x4_splat(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(value: v128, to: *mut f32) {
        unsafe { v128_store(to.cast(), value) }
    }
    /// Moves exponent and fraction into place and multiplies the bias away, which also makes a
    /// subnormal half a normal number; what was infinite or NaN gets the exponent of that.
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> v128 {
        unsafe {
            let bits = u32x4_load_extend_u16x4(from.cast());
            let magnitude = v128_and(bits, i32x4_splat(0x7fff));
            let sign = i32x4_shl(v128_andnot(bits, i32x4_splat(0x7fff)), 16);
            let number = f32x4_mul(
                i32x4_shl(magnitude, 13),
                f32x4_splat(f32::from_bits(0x7780_0000)),
            );
            let special = v128_and(
                i32x4_gt(magnitude, i32x4_splat(0x7bff)),
                i32x4_splat(0x7f80_0000),
            );
            v128_or(v128_or(number, special), sign)
        }
    }
    #[inline(always)]
    unsafe fn from_i32(value: v128) -> v128 {
        f32x4_convert_i32x4(value)
    }
    #[inline(always)]
    unsafe fn from_bits(bits: v128) -> v128 {
        bits
    }
    #[inline(always)]
    unsafe fn to_bits(value: v128) -> v128 {
        value
    }
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_sub(c, f32x4_mul(a, b))
    }
    /// `pmax(b, a)` is `b < a ? a : b`, one instruction on x86-64.
    #[inline(always)]
    unsafe fn max(a: v128, b: v128) -> v128 {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    unsafe fn min(a: v128, b: v128) -> v128 {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    unsafe fn select_less(a: v128, b: v128, yes: v128, no: v128) -> v128 {
        v128_bitselect(yes, no, f32x4_lt(a, b))
    }
}
