//! 128 bits of aarch64, which every processor of it has.

use std::arch::aarch64::*;

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct Neon;

// SAFETY: NEON is part of the architecture.
unsafe impl Lanes for Neon {
    const N: usize = 4;
    // 16 of the 32 registers hold sums.
    const MAX_ROWS: usize = 8;
    type I = int32x4_t;
    type F = float32x4_t;
    type Table = int8x16_t;

    #[inline(always)]
    unsafe fn vectorize<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        unsafe fn inner<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<Neon>() }
        }
        unsafe { inner(kernel) }
    }

    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> int32x4_t {
        unsafe { vdupq_n_s32(value) }
    }
    #[inline(always)]
    unsafe fn splat_i16(value: i16) -> int32x4_t {
        unsafe { vreinterpretq_s32_s16(vdupq_n_s16(value)) }
    }
    #[inline(always)]
    unsafe fn table(bytes: &[i8; 16]) -> int8x16_t {
        unsafe { vld1q_s8(bytes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_i(from: *const u8) -> int32x4_t {
        unsafe { vreinterpretq_s32_u8(vld1q_u8(from)) }
    }
    #[inline(always)]
    unsafe fn store_i(value: int32x4_t, to: *mut u8) {
        unsafe { vst1q_u8(to, vreinterpretq_u8_s32(value)) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> int32x4_t {
        unsafe {
            let bytes = vreinterpret_s8_u32(vdup_n_u32(from.cast::<u32>().read_unaligned()));
            vmovl_s16(vget_low_s16(vmovl_s8(bytes)))
        }
    }
    #[inline(always)]
    unsafe fn and(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vandq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vorrq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_i16(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe {
            vreinterpretq_s32_s16(vsubq_s16(
                vreinterpretq_s16_s32(a),
                vreinterpretq_s16_s32(b),
            ))
        }
    }
    #[inline(always)]
    unsafe fn add_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe { vaddq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn shl_i16(a: int32x4_t, by: u32) -> int32x4_t {
        unsafe {
            vreinterpretq_s32_s16(vshlq_s16(vreinterpretq_s16_s32(a), vdupq_n_s16(by as i16)))
        }
    }
    #[inline(always)]
    unsafe fn shr_u16(a: int32x4_t, by: u32) -> int32x4_t {
        unsafe {
            let shifted = vshlq_u16(vreinterpretq_u16_s32(a), vdupq_n_s16(-(by as i16)));
            vreinterpretq_s32_u16(shifted)
        }
    }
    #[inline(always)]
    unsafe fn shr_i16(a: int32x4_t, by: u32) -> int32x4_t {
        unsafe {
            vreinterpretq_s32_s16(vshlq_s16(
                vreinterpretq_s16_s32(a),
                vdupq_n_s16(-(by as i16)),
            ))
        }
    }
    #[inline(always)]
    unsafe fn shl_i32(a: int32x4_t, by: u32) -> int32x4_t {
        unsafe { vshlq_s32(a, vdupq_n_s32(by as i32)) }
    }
    #[inline(always)]
    unsafe fn lookup(table: int8x16_t, index: int32x4_t) -> int32x4_t {
        unsafe { vreinterpretq_s32_s8(vqtbl1q_s8(table, vreinterpretq_u8_s32(index))) }
    }
    #[inline(always)]
    unsafe fn dot_i16(sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        unsafe {
            let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            let high = vmull_high_s16(a, b);
            vaddq_s32(sum, vpaddq_s32(low, high))
        }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(value: float32x4_t, to: *mut f32) {
        unsafe { vst1q_f32(to, value) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> float32x4_t {
        unsafe {
            // The instruction of the base set; its intrinsic needs the unstable type f16.
            let halves = vld1_u16(from);
            let value: float32x4_t;
            std::arch::asm!(
                "fcvtl {value:v}.4s, {halves:v}.4h",
                value = out(vreg) value,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
            value
        }
    }
    #[inline(always)]
    unsafe fn from_i32(value: int32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(value) }
    }
    #[inline(always)]
    unsafe fn from_bits(bits: int32x4_t) -> float32x4_t {
        unsafe { vreinterpretq_f32_s32(bits) }
    }
    #[inline(always)]
    unsafe fn to_bits(value: float32x4_t) -> int32x4_t {
        unsafe { vreinterpretq_s32_f32(value) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmsq_f32(c, a, b) }
    }
    /// NaN if either is.
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    /// NaN if either is.
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn select_less(
        a: float32x4_t,
        b: float32x4_t,
        yes: float32x4_t,
        no: float32x4_t,
    ) -> float32x4_t {
        unsafe { vbslq_f32(vcltq_f32(a, b), yes, no) }
    }
}
