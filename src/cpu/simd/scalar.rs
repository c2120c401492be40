//! One lane of plain Rust: what every other level is compared with.

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct Scalar;

/// The two 16-bit halves of a lane, the low one first.
#[inline(always)]
fn halves(a: i32) -> [i16; 2] {
    [a as i16, (a >> 16) as i16]
}

#[inline(always)]
fn each_half(a: i32, f: impl Fn(i16) -> i16) -> i32 {
    let [low, high] = halves(a).map(f);
    i32::from(low as u16) | i32::from(high) << 16
}

// SAFETY: no instruction beyond the target's own is used.
unsafe impl Lanes for Scalar {
    const N: usize = 1;
    const MAX_ROWS: usize = 4;
    type I = i32;
    type F = f32;
    type Table = [i8; 16];

    #[inline(never)]
    unsafe fn vectorize<K: Kernel>(kernel: K) -> K::Output {
        unsafe { kernel.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat_i32(value: i32) -> i32 {
        value
    }
    #[inline(always)]
    unsafe fn splat_i16(value: i16) -> i32 {
        each_half(0, |_| value)
    }
    #[inline(always)]
    unsafe fn table(bytes: &[i8; 16]) -> [i8; 16] {
        *bytes
    }
    #[inline(always)]
    unsafe fn load_i(from: *const u8) -> i32 {
        unsafe { from.cast::<i32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_i(value: i32, to: *mut u8) {
        unsafe { to.cast::<i32>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> i32 {
        i32::from(unsafe { *from.cast::<i8>() })
    }
    #[inline(always)]
    unsafe fn and(a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    unsafe fn or(a: i32, b: i32) -> i32 {
        a | b
    }
    #[inline(always)]
    unsafe fn sub_i16(a: i32, b: i32) -> i32 {
        let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
        i32::from(a0.wrapping_sub(b0) as u16) | i32::from(a1.wrapping_sub(b1)) << 16
    }
    #[inline(always)]
    unsafe fn add_i32(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    unsafe fn shl_i16(a: i32, count: u32) -> i32 {
        each_half(a, |half| half << count)
    }
    #[inline(always)]
    unsafe fn shr_u16(a: i32, count: u32) -> i32 {
        each_half(a, |half| (half as u16 >> count) as i16)
    }
    #[inline(always)]
    unsafe fn shr_i16(a: i32, count: u32) -> i32 {
        each_half(a, |half| half >> count)
    }
    #[inline(always)]
    unsafe fn shl_i32(a: i32, count: u32) -> i32 {
        a << count
    }
    #[inline(always)]
    unsafe fn dot_i16(sum: i32, a: i32, b: i32) -> i32 {
        let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
        sum.wrapping_add(i32::from(a0) * i32::from(b0))
            .wrapping_add(i32::from(a1) * i32::from(b1))
    }
    #[inline(always)]
    unsafe fn lookup(table: [i8; 16], index: i32) -> i32 {
        let bytes = index.to_le_bytes();
        i32::from_le_bytes(bytes.map(|byte| table[usize::from(byte & 15)] as u8))
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> f32 {
        value
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> f32 {
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(value: f32, to: *mut f32) {
        unsafe { *to = value }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> f32 {
        half::f16::from_bits(unsafe { *from }).to_f32()
    }
    #[inline(always)]
    unsafe fn from_i32(value: i32) -> f32 {
        value as f32
    }
    #[inline(always)]
    unsafe fn from_bits(bits: i32) -> f32 {
        f32::from_bits(bits as u32)
    }
    #[inline(always)]
    unsafe fn to_bits(value: f32) -> i32 {
        value.to_bits() as i32
    }
    #[inline(always)]
    unsafe fn add(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    unsafe fn div(a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    unsafe fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: f32, b: f32, c: f32) -> f32 {
        c - a * b
    }
    #[inline(always)]
    unsafe fn max(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    unsafe fn min(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    unsafe fn select_less(a: f32, b: f32, yes: f32, no: f32) -> f32 {
        if a < b { yes } else { no }
    }
}
