//! Super-blocks of 256: scales of sub-blocks in a few bits, over one or two `f16` scales.
//!
//! 1. Each sub-block is searched for the scale (and minimum) that loses least ([`super::search`]).
//! 2. The largest of them sets the scale `d` (and `dmin`) of the super-block; the others are rounded
//!    to its steps, each trying its neighbours too, since the integers of the values can make up
//!    for a step.
//! 3. With all integers fixed, `d` (and `dmin`) are fitted once more, and step 2 repeated while
//!    that loses less.
//!
//! Letters as in [`super::search`]; `d`, `dmin` the `f16` scales, `steps` a scale or minimum in
//! units of them.

use half::f16;

use super::search::{
    Affine, affine_error, affine_integers, centred_error, centred_integers, importance_weights,
    plain_weights, round, search_affine, search_centred, sum,
};
use super::{half_bytes, reciprocal};

const SUPER_BLOCK: usize = 256;

/// Most times that step 3 is tried.
const MAX_FITS: usize = 3;

/// What an error of each value counts, sub-block by sub-block.
#[inline(always)]
fn weights<const N: usize>(
    block: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
) -> Vec<[f32; N]> {
    let subs = block.as_chunks::<N>().0;
    match importance {
        None => subs.iter().map(plain_weights).collect(),
        Some(importance) => {
            let mean_square = sum::<SUPER_BLOCK>(|i| block[i] * block[i]) / SUPER_BLOCK as f32;
            let subs = subs.iter().zip(importance.as_chunks::<N>().0);
            subs.map(|(x, importance)| importance_weights(x, importance, mean_square))
                .collect()
        }
    }
}

/// The `f16` nearest to a value, and its value; `None` where it would be infinite.
#[inline(always)]
fn stored(value: f32) -> Option<([u8; 2], f32)> {
    Some((half_bytes(value)?, f16::from_f32(value).to_f32()))
}

/// x ≈ d scale q − dmin min, in eight sub-blocks of 32.
struct AffineBlock {
    d: [u8; 2],
    dmin: [u8; 2],
    subs: [AffineSub; 8],
    error: f32,
}

/// A sub-block: its scale and minimum in steps of 0 to 63, and its integers.
#[derive(Clone, Copy)]
struct AffineSub {
    scale: f32,
    min: f32,
    q: [f32; 32],
    error: f32,
}

const MAX_STEPS: f32 = 63.0;

impl AffineSub {
    /// The best of the steps beside `scale` and `min`, with the integers nearest to the values.
    #[inline(always)]
    fn beside(x: &[f32; 32], w: &[f32; 32], [d, dmin]: [f32; 2], near: [f32; 2], top: f32) -> Self {
        let mut best = AffineSub {
            scale: 0.0,
            min: 0.0,
            q: [0.0; 32],
            error: f32::INFINITY,
        };
        let inside = |steps: &f32| (0.0..=MAX_STEPS).contains(steps);
        for scale in [0.0, -1.0, 1.0]
            .map(|step| near[0] + step)
            .iter()
            .filter(|it| inside(it))
        {
            let (scale, d_scale) = (*scale, d * scale);
            let inverse = reciprocal(d_scale);
            for min in [0.0, -1.0, 1.0]
                .map(|step| near[1] + step)
                .iter()
                .filter(|it| inside(it))
            {
                let (min, dmin_min) = (*min, dmin * min);
                let q = affine_integers(x, inverse, dmin_min, top);
                let error = affine_error(x, w, &q, d_scale, dmin_min);
                if error < best.error {
                    best = AffineSub {
                        scale,
                        min,
                        q,
                        error,
                    };
                }
            }
        }
        best
    }
}

impl AffineBlock {
    /// `None` if a value is beyond what the `f16` scales can say.
    #[inline(always)]
    fn search(
        block: &[f32; SUPER_BLOCK],
        importance: Option<&[f32; SUPER_BLOCK]>,
        top: f32,
    ) -> Option<AffineBlock> {
        let xs: &[[f32; 32]; 8] = block.as_chunks().0.try_into().ok()?;
        let ws = weights::<32>(block, importance);
        let fits: [Affine; 8] = std::array::from_fn(|sub| search_affine(&xs[sub], &ws[sub], top));
        let most = |part: fn(&Affine) -> f32| fits.iter().map(part).fold(0.0, f32::max);
        let largest = [most(|fit| fit.scale), most(|fit| fit.min)];
        let mut wanted = largest.map(|largest| largest / MAX_STEPS);
        let mut best: Option<AffineBlock> = None;
        for _ in 0..=MAX_FITS {
            let Some(((d_bytes, d), (dmin_bytes, dmin))) = stored(wanted[0]).zip(stored(wanted[1]))
            else {
                break;
            };
            let subs: [AffineSub; 8] = std::array::from_fn(|sub| {
                let near = match &best {
                    Some(best) => [best.subs[sub].scale, best.subs[sub].min],
                    None => [
                        round(fits[sub].scale * reciprocal(d)).min(MAX_STEPS),
                        round(fits[sub].min * reciprocal(dmin)).min(MAX_STEPS),
                    ],
                };
                AffineSub::beside(&xs[sub], &ws[sub], [d, dmin], near, top)
            });
            let error = subs.iter().map(|sub| sub.error).sum();
            if best.as_ref().is_some_and(|best| error >= best.error) {
                break;
            }
            let fitted = Self::fit(xs, &ws, &subs);
            best = Some(AffineBlock {
                d: d_bytes,
                dmin: dmin_bytes,
                subs,
                error,
            });
            match fitted {
                Some(fitted) if fitted != [d, dmin] => wanted = fitted,
                _ => break,
            }
        }
        best
    }

    /// The least-squares `d` and `dmin` for given steps and integers.
    #[inline(always)]
    fn fit(xs: &[[f32; 32]; 8], ws: &[[f32; 32]], subs: &[AffineSub; 8]) -> Option<[f32; 2]> {
        // Sums of a², a b, b², a x and b x with a = scale q, b = min.
        let [mut aa, mut ab, mut bb, mut ax, mut bx] = [0.0_f64; 5];
        for ((x, w), sub) in xs.iter().zip(ws).zip(subs) {
            let (scale, min, q) = (f64::from(sub.scale), f64::from(sub.min), &sub.q);
            aa += scale * scale * f64::from(sum::<32>(|i| w[i] * q[i] * q[i]));
            ab += scale * min * f64::from(sum::<32>(|i| w[i] * q[i]));
            bb += min * min * f64::from(sum::<32>(|i| w[i]));
            ax += scale * f64::from(sum::<32>(|i| w[i] * q[i] * x[i]));
            bx += min * f64::from(sum::<32>(|i| w[i] * x[i]));
        }
        let determinant = aa * bb - ab * ab;
        let fitted = match bb > 0.0 {
            true => [
                (ax * bb - bx * ab) / determinant,
                (ax * ab - bx * aa) / determinant,
            ],
            false => [ax / aa, 0.0],
        };
        let usable = fitted
            .iter()
            .all(|value| *value >= 0.0 && value.is_finite());
        usable.then(|| fitted.map(|value| value as f32))
    }

    /// The twelve bytes of scales and minima; see the reader for where their bits lie.
    #[inline(always)]
    fn packed_steps(&self) -> [u8; 12] {
        let mut out = [0; 12];
        for (i, sub) in self.subs.iter().enumerate() {
            let (scale, min) = (sub.scale as u8, sub.min as u8);
            if i < 4 {
                out[i] |= scale;
                out[i + 4] |= min;
            } else {
                out[i + 4] = (scale & 0x0f) | (min & 0x0f) << 4;
                out[i - 4] |= scale >> 4 << 6;
                out[i] |= min >> 4 << 6;
            }
        }
        out
    }

    /// 128 bytes: byte `l` of a quarter holds the low four bits of weights `l` and `l + 32`.
    #[inline(always)]
    fn low_bits(&self) -> impl Iterator<Item = u8> {
        self.subs.as_chunks::<2>().0.iter().flat_map(|[low, high]| {
            let pairs = low.q.iter().zip(&high.q);
            pairs.map(|(low, high)| (*low as u8 & 0x0f) | (*high as u8 & 0x0f) << 4)
        })
    }
}

/// d f16 · dmin f16 · 8 x (6-bit scale, 6-bit min) in 12 bytes · 128 bytes of 4-bit weights
#[inline(always)]
pub(super) fn q4_k(block: &[f32; 256], importance: Option<&[f32; 256]>) -> Option<[u8; 144]> {
    let found = AffineBlock::search(block, importance, 15.0)?;
    let mut out = [0; 144];
    out[..2].copy_from_slice(&found.d);
    out[2..4].copy_from_slice(&found.dmin);
    out[4..16].copy_from_slice(&found.packed_steps());
    for (out, low) in out[16..].iter_mut().zip(found.low_bits()) {
        *out = low;
    }
    Some(out)
}

/// d f16 · dmin f16 · 8 x (6-bit scale, 6-bit min) in 12 bytes · 32 bytes of fifth bits ·
/// 128 bytes of four-bit weights
#[inline(always)]
pub(super) fn q5_k(block: &[f32; 256], importance: Option<&[f32; 256]>) -> Option<[u8; 176]> {
    let found = AffineBlock::search(block, importance, 31.0)?;
    let mut out = [0; 176];
    out[..2].copy_from_slice(&found.d);
    out[2..4].copy_from_slice(&found.dmin);
    out[4..16].copy_from_slice(&found.packed_steps());
    for (sub, found) in found.subs.iter().enumerate() {
        for (out, q) in out[16..48].iter_mut().zip(found.q) {
            *out |= (q as u8 >> 4) << sub;
        }
    }
    for (out, low) in out[48..].iter_mut().zip(found.low_bits()) {
        *out = low;
    }
    Some(out)
}

/// x ≈ d scale q with q in -32..=31, in sixteen sub-blocks of 16.
#[derive(Clone, Copy)]
struct CentredSub {
    /// From -128 to 127.
    scale: f32,
    q: [f32; 16],
    error: f32,
}

impl CentredSub {
    /// The best of the steps beside `near`, with the integers nearest to the values.
    #[inline(always)]
    fn beside(x: &[f32; 16], w: &[f32; 16], d: f32, near: f32) -> Self {
        let mut best = CentredSub {
            scale: 0.0,
            q: [0.0; 16],
            error: f32::INFINITY,
        };
        for scale in [0.0, -1.0, 1.0].map(|step| near + step) {
            if !(-128.0..=127.0).contains(&scale) {
                continue;
            }
            let q = centred_integers(x, reciprocal(d * scale), 32.0);
            let error = centred_error(x, w, &q, d * scale);
            if error < best.error {
                best = CentredSub { scale, q, error };
            }
        }
        best
    }
}

/// 128 bytes of low nibbles · 64 bytes of high bit pairs · 16 x i8 scale · d f16
#[inline(always)]
pub(super) fn q6_k(block: &[f32; 256], importance: Option<&[f32; 256]>) -> Option<[u8; 210]> {
    let (d, subs) = search_q6_k(block, importance)?;
    let mut out = [0; 210];
    for (sub, found) in subs.iter().enumerate() {
        // As the reader has it: a half, a group of 32 in it, and a half of that.
        let (half, group, first) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
        for (l, q) in found.q.iter().enumerate() {
            let q = (q + 32.0) as u8;
            out[half * 64 + group % 2 * 32 + first + l] |= (q & 0x0f) << (group / 2 * 4);
            out[128 + half * 32 + first + l] |= (q >> 4) << (group * 2);
        }
        out[192 + sub] = found.scale as i8 as u8;
    }
    out[208..].copy_from_slice(&d);
    Some(out)
}

#[inline(always)]
fn search_q6_k(
    block: &[f32; SUPER_BLOCK],
    importance: Option<&[f32; SUPER_BLOCK]>,
) -> Option<([u8; 2], [CentredSub; 16])> {
    let xs: &[[f32; 16]; 16] = block.as_chunks().0.try_into().ok()?;
    let ws = weights::<16>(block, importance);
    let fits: [f32; 16] = std::array::from_fn(|sub| search_centred(&xs[sub], &ws[sub], 32.0));
    // The scale of largest magnitude goes to the end that has one step more.
    let mut wanted = super::largest(&fits).1 / -128.0;
    let mut best: Option<([u8; 2], [CentredSub; 16], f32)> = None;
    for _ in 0..=MAX_FITS {
        let Some((bytes, d)) = stored(wanted) else {
            break;
        };
        let subs: [CentredSub; 16] = std::array::from_fn(|sub| {
            let near = match &best {
                Some((_, subs, _)) => subs[sub].scale,
                None => round(fits[sub] * reciprocal(d)).clamp(-128.0, 127.0),
            };
            CentredSub::beside(&xs[sub], &ws[sub], d, near)
        });
        let error = subs.iter().map(|sub| sub.error).sum();
        if best.as_ref().is_some_and(|(_, _, least)| error >= *least) {
            break;
        }
        best = Some((bytes, subs, error));
        let [mut aa, mut ax] = [0.0_f64; 2];
        for ((x, w), sub) in xs.iter().zip(&ws).zip(&subs) {
            let (scale, q) = (f64::from(sub.scale), &sub.q);
            aa += scale * scale * f64::from(sum::<16>(|i| w[i] * q[i] * q[i]));
            ax += scale * f64::from(sum::<16>(|i| w[i] * q[i] * x[i]));
        }
        let fitted = (ax / aa) as f32;
        match fitted.is_finite() && fitted != d {
            true => wanted = fitted,
            false => break,
        }
    }
    best.map(|(d, subs, _)| (d, subs))
}
