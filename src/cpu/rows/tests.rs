//! The functions of rows at every level against the same in f64.

use proptest::prelude::*;

use super::*;
use crate::cpu::{
    functions,
    testing::{numbers, threads},
};

fn close(found: f32, needed: f64, allowed: f64) -> Result<(), TestCaseError> {
    let error = (f64::from(found) - needed).abs();
    prop_assert!(error <= allowed, "needed {needed}, found {found}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_normalised_row_has_a_mean_square_of_one_times_its_weights(
        m in 1usize..40,
        width in 1usize..700,
        extra in 0usize..9,
        exponent in -10i32..10,
        seed: u64,
    ) {
        let x = numbers(seed, m * width, 10f32.powi(exponent));
        let weight = numbers(seed.wrapping_add(1), width, 2.0);
        for level in Level::available() {
            let mut y = vec![7.0; m * (width + extra)];
            rms_norm(level, threads(2), &x, &weight, 1e-6, &mut y);
            for (x, y) in x.chunks(width).zip(y.chunks(width + extra)) {
                let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
                let scale = 1.0 / (squares / width as f64 + 1e-6).sqrt();
                for ((x, weight), y) in x.iter().zip(&weight).zip(y) {
                    let needed = f64::from(*x) * scale * f64::from(*weight);
                    close(*y, needed, 1e-6 * needed.abs().max(1e-20))?;
                }
                prop_assert!(y[width..].iter().all(|y| *y == 7.0));
            }
        }
    }

    #[test]
    fn heads_turn_by_the_angles_of_their_row_and_what_follows_them_stays(
        m in 1usize..40,
        heads in 0usize..6,
        half in 1usize..40,
        extra in 0usize..9,
        seed: u64,
    ) {
        let (d, stride) = (2 * half, heads * 2 * half + extra);
        let angles = numbers(seed, m * half, 3.0);
        let turns: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        let x = numbers(seed.wrapping_add(1), m * stride, 2.0);
        for level in Level::available() {
            let mut y = x.clone();
            rope(level, threads(2), &turns, d, heads * d, &mut y);
            for row in 0..m {
                let (x, y) = (&x[row * stride..][..stride], &y[row * stride..][..stride]);
                for head in 0..heads {
                    for i in 0..half {
                        let [cos, sin] = [0, 1].map(|at| f64::from(turns[row * d + 2 * i + at]));
                        let [a, b] = [i, i + half].map(|at| f64::from(x[head * d + at]));
                        close(y[head * d + i], a * cos - b * sin, 1e-6)?;
                        close(y[head * d + i + half], b * cos + a * sin, 1e-6)?;
                    }
                }
                prop_assert_eq!(&x[heads * d..], &y[heads * d..]);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_sum_of_rows_leaves_out_what_stands_behind_the_width(
        (m, width, more) in (0usize..40, 1usize..3000, 0usize..70),
        seed: u64,
    ) {
        let x = numbers(seed, m * width, 1.0);
        let u = numbers(seed ^ 1, m * (width + more), 1.0);
        let mut y = vec![f32::NAN; m * width];
        add(threads(2), &x, &u, width, &mut y);
        for (at, y) in y.iter().enumerate() {
            prop_assert_eq!(*y, x[at] + u[at / width * (width + more) + at % width]);
        }
    }
}

/// `2ˣ` at one level, or `eˣ`.
struct Power<'a, const OF_TWO: bool>(&'a mut [f32]);

impl<const OF_TWO: bool> Kernel for Power<'_, OF_TWO> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for chunk in self.0.chunks_exact_mut(V::N) {
            // SAFETY: a chunk has V::N numbers.
            unsafe {
                let at = chunk.as_mut_ptr();
                let x = V::load(at);
                let y = if OF_TWO {
                    functions::exp2::<V>(x)
                } else {
                    functions::exp::<V>(x)
                };
                V::store(y, at);
            }
        }
    }
}

#[test]
fn the_power_of_two_is_right_to_the_last_bits_from_end_to_end() {
    let x: Vec<f32> = (-128 * 64..=127 * 64)
        .map(|n| n as f32 / 64.0)
        .take(16320)
        .collect();
    for level in Level::available() {
        let mut y = x.clone();
        level.run(Power::<true>(&mut y));
        for (x, y) in x.iter().zip(y) {
            let needed = match *x <= -126.5 {
                true => 0.0,
                false => f64::from(*x).exp2(),
            };
            let error = (f64::from(y) - needed).abs();
            // A last bit is 1.2e-7 at most; below the normal numbers there are fewer bits.
            let allowed = 1.2e-7 * needed + f64::from(f32::from_bits(1));
            let name = level.name();
            assert!(error <= allowed, "exp2({x}) at {name}: {y}");
        }
    }
}

#[test]
fn the_exponential_is_right_to_the_last_bits_from_end_to_end() {
    let x: Vec<f32> = (-88 * 64..=88 * 64)
        .map(|n| n as f32 / 64.0)
        .take(11264)
        .collect();
    for level in Level::available() {
        let mut y = x.clone();
        level.run(Power::<false>(&mut y));
        for (x, y) in x.iter().zip(y) {
            let needed = match *x < -87.3 {
                true => 0.0,
                false => f64::from(*x).exp(),
            };
            let error = (f64::from(y) - needed).abs();
            assert!(
                error <= 2.4e-7 * needed,
                "exp({x}) at {}: {y}",
                level.name()
            );
        }
    }
}

#[test]
fn the_exponential_of_what_is_no_number_is_none() {
    for level in Level::available() {
        let mut y = [f32::NAN, f32::NEG_INFINITY, f32::MIN, 0.0].repeat(8);
        level.run(Power::<false>(&mut y));
        assert!(y[0].is_nan(), "{}", level.name());
        assert_eq!(y[1..4], [0.0, 0.0, 1.0], "{}", level.name());
        let mut y = [f32::NAN, f32::NEG_INFINITY, f32::MIN, 0.0].repeat(8);
        level.run(Power::<true>(&mut y));
        assert!(y[0].is_nan(), "{}", level.name());
        assert_eq!(y[1..4], [0.0, 0.0, 1.0], "{}", level.name());
    }
}
