//! Functions of one number, on vectors of them.

use super::simd::Lanes;

/// `eˣ`, within 2 units of the last place; 0 below -87.3, and above 88 what it is at 88.
#[inline(always)]
pub unsafe fn exp<V: Lanes>(x: V::F) -> V::F {
    /// Adding it leaves a number's nearest whole in the low bits of the sum.
    const MAGIC: f32 = (3 << 22) as f32;
    const LEAST: f32 = -87.3;
    // ln 2 in two parts, the first with so few bits that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Cephes, expf: (eʳ - 1 - r) / r² on ±ln 2 / 2.
    const POLYNOMIAL: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5e-1,
    ];
    // SAFETY: the caller vouches for V.
    unsafe {
        // NaN passes through, as the second operand.
        let inside = V::max(V::splat(LEAST), V::min(V::splat(88.0), x));
        let magic = V::splat(MAGIC);
        let shifted = V::mul_add(inside, V::splat(std::f32::consts::LOG2_E), magic);
        let n = V::sub(shifted, magic);
        let r = V::neg_mul_add(n, V::splat(LN_2[0]), inside);
        let r = V::neg_mul_add(n, V::splat(LN_2[1]), r);
        let mut p = V::splat(POLYNOMIAL[0]);
        for coefficient in &POLYNOMIAL[1..] {
            p = V::mul_add(p, r, V::splat(*coefficient));
        }
        let value = V::add(V::mul_add(p, V::mul(r, r), r), V::splat(1.0));
        // n sits in the low bits; its bias and its place are those of an exponent.
        let exponent = V::shl_i32(V::add_i32(V::to_bits(shifted), V::splat_i32(127)), 23);
        let value = V::mul(value, V::from_bits(exponent));
        V::select_less(x, V::splat(LEAST), V::splat(0.0), value)
    }
}

/// `2ˣ` for x up to 127, within a unit of the last place; 0 from -126.5 down.
#[inline(always)]
pub unsafe fn exp2<V: Lanes>(x: V::F) -> V::F {
    /// Adding it leaves a number's nearest whole in the low bits of the sum, with the bias of an
    /// exponent.
    const MAGIC: f32 = ((3 << 22) + 127) as f32;
    /// Its exponent with the bias is 0, and what is multiplied by that power is 0.
    const LEAST: f32 = -127.0;
    // (2ʳ - 1) / r on ±1/2, through the roots of a Chebyshev polynomial: 5e-9 of 2ʳ.
    const POLYNOMIAL: [f32; 6] = [
        1.545_316_3e-4,
        1.339_086_3e-3,
        9.618_083e-3,
        5.550_357e-2,
        2.402_265e-1,
        std::f32::consts::LN_2,
    ];
    // SAFETY: the caller vouches for V.
    unsafe {
        // NaN passes through, as the second operand.
        let inside = V::max(V::splat(LEAST), x);
        let shifted = V::add(inside, V::splat(MAGIC));
        let r = V::sub(inside, V::sub(shifted, V::splat(MAGIC)));
        let mut p = V::splat(POLYNOMIAL[0]);
        for coefficient in &POLYNOMIAL[1..] {
            p = V::mul_add(p, r, V::splat(*coefficient));
        }
        let exponent = V::shl_i32(V::to_bits(shifted), 23);
        V::mul(V::mul_add(p, r, V::splat(1.0)), V::from_bits(exponent))
    }
}

/// `x / (1 + e⁻ˣ)`
#[inline(always)]
pub unsafe fn silu<V: Lanes>(x: V::F) -> V::F {
    // SAFETY: the caller vouches for V.
    unsafe {
        let grown = exp::<V>(V::sub(V::splat(0.0), x));
        V::div(x, V::add(V::splat(1.0), grown))
    }
}
