//! The search for the scale (and minimum) with which a group of values loses least.
//!
//! Letters: `x` values, `w` what an error of each counts, `q` their integers, `s` scale, `m` minimum.
//!
//! For given integers the best scale is a weighted least-squares fit; for a given scale the best
//! integers are the nearest. Both steps in turn end in a minimum near their beginning, so the search
//! begins them from a range of scales around the one that just spans the values, and keeps the best.
//! ggml's K-quants begin from a similar range, but do not repeat the steps; see
//! `ggml-quants.c`, `make_qkx2_quants` and `make_qx_quants`, for theirs.

use super::plain::pack_nibbles;
use super::{half_bytes, largest};

/// Sums run in this many lanes, so that they are the same on every machine and still fast.
const LANES: usize = 8;

/// Adding and subtracting it rounds an `f32` below 2^22 to the nearest integer, ties to even.
const ROUND: f32 = 12_582_912.0;

#[inline(always)]
pub(super) fn round(value: f32) -> f32 {
    (value + ROUND) - ROUND
}

/// `value` within `low..=high`, and `low` where it is not a number: two instructions, unlike
/// `f32::clamp`.
#[inline(always)]
fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > low { value } else { low };
    if value < high { value } else { high }
}

#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Σ of `term` over `0..N`.
#[inline(always)]
pub(super) fn sum<const N: usize>(term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for group in 0..N / LANES {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(group * LANES + lane);
        }
    }
    total(lanes)
}

/// What the errors count where nothing is known of their effect: large values carry more of a
/// product, and the root mean square keeps small ones from counting nothing.
#[inline(always)]
pub(super) fn plain_weights<const N: usize>(x: &[f32; N]) -> [f32; N] {
    let mean_square = sum::<N>(|i| x[i] * x[i]) / N as f32;
    let root = mean_square.sqrt();
    x.map(|x| root + x.abs())
}

/// What the errors count by what the columns are multiplied with. Where all of a group's columns
/// have been multiplied with zero only, its values count alike.
///
/// - `mean_square`: of the values of the whole block
#[inline(always)]
pub(super) fn importance_weights<const N: usize>(
    x: &[f32; N],
    importance: &[f32; N],
    mean_square: f32,
) -> [f32; N] {
    let most = importance.iter().copied().fold(0.0, f32::max);
    if most == 0.0 {
        return [1.0; N];
    }
    // Only their proportions matter, and these products stay in range.
    std::array::from_fn(|i| importance[i] / most * (mean_square + x[i] * x[i]).sqrt())
}

/// x ≈ s q − m with `q` in `0..=top`, `s` and `m` not negative.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Affine {
    pub scale: f32,
    pub min: f32,
}

/// Integers of `x` for a scale and a minimum.
#[inline(always)]
pub(super) fn affine_integers<const N: usize>(
    x: &[f32; N],
    inverse: f32,
    min: f32,
    top: f32,
) -> [f32; N] {
    x.map(|x| clamp(round((x + min) * inverse), 0.0, top))
}

/// Σ w (s q − m − x)²
#[inline(always)]
pub(super) fn affine_error<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    q: &[f32; N],
    scale: f32,
    min: f32,
) -> f32 {
    sum::<N>(|i| {
        let error = scale * q[i] - min - x[i];
        w[i] * error * error
    })
}

/// The best scale and minimum for given integers, `None` where every scale is as good.
#[inline(always)]
fn fit_affine<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    q: &[f32; N],
    sum_w: f32,
    sum_wx: f32,
) -> Option<Affine> {
    let sum_wq = sum::<N>(|i| w[i] * q[i]);
    let sum_wqq = sum::<N>(|i| w[i] * q[i] * q[i]);
    let sum_wqx = sum::<N>(|i| w[i] * q[i] * x[i]);
    let determinant = sum_w * sum_wqq - sum_wq * sum_wq;
    if determinant <= 0.0 || sum_wqq <= 0.0 {
        return None;
    }
    let scale = (sum_w * sum_wqx - sum_wq * sum_wx) / determinant;
    let min = (sum_wq * sum_wqx - sum_wqq * sum_wx) / determinant;
    let fit = match min >= 0.0 {
        true => Affine { scale, min },
        // The nearest that the format can say: no minimum, and the scale that is best without.
        false => Affine {
            scale: sum_wqx / sum_wqq,
            min: 0.0,
        },
    };
    (fit.scale > 0.0 && fit.scale.is_finite()).then_some(fit)
}

/// Beginnings of the search: the scale that spans the values, times `top / (top + step / 10)`.
const STEPS: [f32; 10] = [-9.0, -7.0, -5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 7.0, 9.0];

/// How often integers and fit take turns from each beginning.
const N_TURNS: usize = 2;

#[inline(always)]
pub(super) fn search_affine<const N: usize>(x: &[f32; N], w: &[f32; N], top: f32) -> Affine {
    let least = x.iter().copied().fold(0.0_f32, f32::min);
    let most = x.iter().copied().fold(f32::MIN, f32::max);
    let (min, range) = (-least, most - least);
    let has_scale = range > 0.0 && (top / range).is_finite();
    if !has_scale {
        return Affine { scale: 0.0, min };
    }
    let (sum_w, sum_wx) = (sum::<N>(|i| w[i]), sum::<N>(|i| w[i] * x[i]));
    let mut best = Affine {
        scale: range / top,
        min,
    };
    let mut least_error = f32::INFINITY;
    for step in STEPS {
        let mut inverse = (top + 0.1 * step) / range;
        let mut min = min;
        for _ in 0..N_TURNS {
            let q = affine_integers(x, inverse, min, top);
            let Some(fit) = fit_affine(x, w, &q, sum_w, sum_wx) else {
                break;
            };
            let error = affine_error(x, w, &q, fit.scale, fit.min);
            if error < least_error {
                (best, least_error) = (fit, error);
            }
            (inverse, min) = (1.0 / fit.scale, fit.min);
        }
    }
    best
}

/// Integers of `x` for a scale, in `-half ..= half - 1`.
#[inline(always)]
pub(super) fn centred_integers<const N: usize>(x: &[f32; N], inverse: f32, half: f32) -> [f32; N] {
    x.map(|x| clamp(round(x * inverse), -half, half - 1.0))
}

/// Σ w (s q − x)²
#[inline(always)]
pub(super) fn centred_error<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    q: &[f32; N],
    scale: f32,
) -> f32 {
    sum::<N>(|i| {
        let error = scale * q[i] - x[i];
        w[i] * error * error
    })
}

/// The scale, of either sign, with which x ≈ s q for `q` in `-half ..= half - 1` loses least.
#[inline(always)]
pub(super) fn search_centred<const N: usize>(x: &[f32; N], w: &[f32; N], half: f32) -> f32 {
    let most = largest(x).1;
    if most == 0.0 || !(half / most).is_finite() {
        return 0.0;
    }
    let mut best = -most / half;
    let mut least_error = f32::INFINITY;
    for step in STEPS {
        // The value of largest magnitude goes to the end that has one integer more.
        let mut inverse = -(half + 0.1 * step) / most;
        for _ in 0..N_TURNS {
            let q = centred_integers(x, inverse, half);
            let sum_wqq = sum::<N>(|i| w[i] * q[i] * q[i]);
            let scale = sum::<N>(|i| w[i] * q[i] * x[i]) / sum_wqq;
            if !(scale != 0.0 && scale.is_finite()) {
                break;
            }
            let error = centred_error(x, w, &q, scale);
            if error < least_error {
                (best, least_error) = (scale, error);
            }
            inverse = 1.0 / scale;
        }
    }
    best
}

/// Q4_0 with importances: d f16 · 16 bytes; weight = d (q - 8)
#[inline(always)]
pub(super) fn q4_0(block: &[f32; 32], importance: Option<&[f32; 32]>) -> Option<[u8; 18]> {
    let mean_square = sum::<32>(|i| block[i] * block[i]) / 32.0;
    let weights = importance.map_or([1.0; 32], |importance| {
        importance_weights(block, importance, mean_square)
    });
    let scale = search_centred(block, &weights, 8.0);
    let mut out = [0; 18];
    out[..2].copy_from_slice(&half_bytes(scale)?);
    let stored = half::f16::from_f32(scale).to_f32();
    let q = centred_integers(block, super::reciprocal(stored), 8.0);
    pack_nibbles(&q.map(|q| (q + 8.0) as u8), &mut out[2..]);
    Some(out)
}
