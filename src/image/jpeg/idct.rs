//! The inverse transform of a block, as libjpeg's `jpeg_idct_islow`.
//!
//! Loeffler, Ligtenberg and Moschytz's eleven multiplications in fixed point: 13 bits of fraction in
//! the constants, 2 more bits kept between the passes, rounding after each. Columns, then rows.

use std::num::Wrapping;

/// Bits of fraction of the constants.
const CONST_BITS: usize = 13;
/// Extra bits kept between the passes.
const PASS1_BITS: usize = 2;

type Int = Wrapping<i32>;

const fn fix(value: f64) -> Int {
    Wrapping((value * (1 << CONST_BITS) as f64 + 0.5) as i32)
}

const F_0_298: Int = fix(0.298631336);
const F_0_390: Int = fix(0.390180644);
const F_0_541: Int = fix(0.541196100);
const F_0_765: Int = fix(0.765366865);
const F_0_899: Int = fix(0.899976223);
const F_1_175: Int = fix(1.175875602);
const F_1_501: Int = fix(1.501321110);
const F_1_847: Int = fix(1.847759065);
const F_1_961: Int = fix(1.961570560);
const F_2_053: Int = fix(2.053119869);
const F_2_562: Int = fix(2.562915447);
const F_3_072: Int = fix(3.072711026);

/// One pass over eight values; the results still carry `CONST_BITS` bits of fraction.
#[inline(always)]
fn transform(v: [Int; 8]) -> [Int; 8] {
    // Even part.
    let z1 = (v[2] + v[6]) * F_0_541;
    let t2 = z1 - v[6] * F_1_847;
    let t3 = z1 + v[2] * F_0_765;
    let t0 = (v[0] + v[4]) << CONST_BITS;
    let t1 = (v[0] - v[4]) << CONST_BITS;
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    // Odd part.
    let z1 = v[7] + v[1];
    let z2 = v[5] + v[3];
    let z3 = v[7] + v[3];
    let z4 = v[5] + v[1];
    let z5 = (z3 + z4) * F_1_175;
    let (z1, z2) = (z1 * F_0_899, z2 * F_2_562);
    let (z3, z4) = (z5 - z3 * F_1_961, z5 - z4 * F_0_390);
    let odd = [
        v[1] * F_1_501 - z1 + z4,
        v[3] * F_3_072 - z2 + z3,
        v[5] * F_2_053 - z2 + z4,
        v[7] * F_0_298 - z1 + z3,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

/// Shifts right, rounding halves up.
#[inline(always)]
fn descale(value: Int, n_bits: usize) -> Int {
    (value + Wrapping(1 << (n_bits - 1))) >> n_bits
}

/// Turns the coefficients of a block into samples.
///
/// - `coefficients`, `quantisation`: in row-major order
/// - `out`: the plane from the block's first sample on, `stride` samples a row
pub(super) fn inverse(
    coefficients: &[i16; 64],
    quantisation: &[u16; 64],
    out: &mut [u8],
    stride: usize,
) {
    // The product keeps 16 bits, as in libjpeg's vector code; sound files never use more.
    let dequantised = |at: usize| {
        Wrapping(i32::from(
            coefficients[at].wrapping_mul(quantisation[at] as i16),
        ))
    };
    if coefficients[1..]
        .iter()
        .all(|coefficient| *coefficient == 0)
    {
        let sample = sample(descale(dequantised(0) << PASS1_BITS, PASS1_BITS + 3));
        out.chunks_mut(stride)
            .take(8)
            .for_each(|row| row[..8].fill(sample));
        return;
    }
    let mut between = [Wrapping(0); 64];
    for column in 0..8 {
        let values = transform(std::array::from_fn(|row| dequantised(row * 8 + column)));
        for (row, value) in values.into_iter().enumerate() {
            between[row * 8 + column] = descale(value, CONST_BITS - PASS1_BITS);
        }
    }
    for (values, out) in between.chunks_exact(8).zip(out.chunks_mut(stride)) {
        let values = transform(std::array::from_fn(|column| values[column]));
        for (out, value) in out.iter_mut().zip(values) {
            *out = sample(descale(value, CONST_BITS + PASS1_BITS + 3));
        }
    }
}

fn sample(value: Int) -> u8 {
    (value.0.saturating_add(128)).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of the transform, in floating point.
    fn exact(coefficients: &[i16; 64]) -> [f64; 64] {
        std::array::from_fn(|at| {
            let (y, x) = (at / 8, at % 8);
            let wave = |n: usize, k: usize| {
                let angle = (2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0;
                angle.cos() * if k == 0 { 0.5_f64.sqrt() } else { 1.0 } / 2.0
            };
            let sum: f64 = (0..64)
                .map(|k| f64::from(coefficients[k]) * wave(y, k / 8) * wave(x, k % 8))
                .sum();
            sum + 128.0
        })
    }

    proptest::proptest! {
        #[test]
        fn is_within_one_level_of_the_definition(seed in proptest::collection::vec(-60_i16..60, 64)) {
            let coefficients: [i16; 64] = seed.try_into().unwrap();
            let mut out = [0; 64];
            inverse(&coefficients, &[1; 64], &mut out, 8);
            for (found, exact) in out.iter().zip(exact(&coefficients)) {
                let off = (f64::from(*found) - exact.clamp(0.0, 255.0)).abs();
                proptest::prop_assert!(off < 0.6, "off by {off}");
            }
        }
    }

    #[test]
    fn absurd_coefficients_do_not_overflow() {
        for value in [i16::MIN, i16::MAX] {
            inverse(&[value; 64], &[u16::MAX; 64], &mut [0; 64], 8);
            inverse(&[value; 64], &[1; 64], &mut [0; 64], 8);
        }
    }
}
