//! Antialiased bicubic resizing in integers, bit for bit what torchvision does with 8-bit pictures.
//!
//! Each axis by itself, horizontal first, rounding to 8 bits in between; an axis whose length stays
//! is skipped. For output `i` of an axis with `scale = in / out`:
//!
//! 1. `support = 2 * max(scale, 1)`, `centre = scale * (i + 0.5)`.
//! 2. Taps from `trunc(centre - support + 0.5)` up to `trunc(centre + support + 0.5)`, cut to the picture.
//! 3. Weight of tap `j` = cubic((j - centre + 0.5) / max(scale, 1)) with a = -0.5, divided by their sum, in f64.
//! 4. All weights of the axis become integers with the most fractional bits `p` (up to 22) for which
//!    the largest still fits 16 bits.
//! 5. `pixel = clamp((2^(p-1) + sum of weight * pixel) >> p, 0, 255)`.
//!
//! Reference: ATen `UpSampleKernel.cpp`, the uint8 path; the order of summation does not matter in
//! integers, so neither vectorisation nor tiling can change a result.

use super::rgb::byte_buffer;
use super::{Error, RgbImage};

/// Resizes to `width` x `height` pixels.
///
/// Fails when a side is 0 or when there is no memory for the result.
pub fn resize_bicubic(image: &RgbImage, width: usize, height: usize) -> Result<RgbImage, Error> {
    if width == 0 || height == 0 {
        return Err(Error::ZeroSize { width, height });
    }
    let narrowed = if width == image.width() {
        None
    } else {
        Some(resize_rows(image.pixels(), image.width(), width)?)
    };
    let source = narrowed.as_deref().unwrap_or(image.pixels());
    let pixels = if height == image.height() {
        match narrowed {
            Some(pixels) => pixels,
            None => image.pixels().to_vec(),
        }
    } else {
        resize_columns(source, width * 3, image.height(), height)?
    };
    RgbImage::from_rgb(width, height, pixels)
}

/// The taps of every output position of one axis.
struct Axis {
    /// First input position of each output position, and how many follow.
    spans: Vec<(usize, usize)>,
    /// The integer weights, span after span.
    weights: Vec<i32>,
    /// Fractional bits of the weights.
    precision: u32,
}

impl Axis {
    fn new(n_in: usize, n_out: usize) -> Axis {
        let scale = n_in as f64 / n_out as f64;
        let widening = scale.max(1.0);
        let support = 2.0 * widening;
        let inverse = 1.0 / widening;

        let mut spans = Vec::with_capacity(n_out);
        let mut weights: Vec<f64> = Vec::new();
        for i in 0..n_out {
            let centre = scale * (i as f64 + 0.5);
            // `as` truncates towards zero, and to 0 below it.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(n_in);
            let at = weights.len();
            weights.extend((first..end).map(|j| {
                // The reference counts taps from `first` and adds it as a float; both are exact.
                cubic((j as f64 - centre + 0.5) * inverse)
            }));
            let sum: f64 = weights[at..].iter().sum();
            if sum != 0.0 {
                weights[at..].iter_mut().for_each(|weight| *weight /= sum);
            }
            spans.push((first, end - first));
        }

        let largest = weights.iter().copied().fold(0.0, f64::max);
        let precision = (0..22)
            .find(|p| (0.5 + largest * f64::from(1 << (p + 1))) as i32 >= 1 << 15)
            .unwrap_or(22);
        let one = f64::from(1 << precision);
        let weights = weights
            .into_iter()
            .map(|weight| (weight * one + if weight < 0.0 { -0.5 } else { 0.5 }) as i32)
            .collect();
        Axis {
            spans,
            weights,
            precision,
        }
    }

    /// For each output position: its first input position and its weights.
    fn taps(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut rest = self.weights.as_slice();
        self.spans.iter().map(move |&(first, n_taps)| {
            let (weights, behind) = rest.split_at(n_taps);
            rest = behind;
            (first, weights)
        })
    }

    fn half(&self) -> i32 {
        1 << (self.precision - 1)
    }

    fn round(&self, sum: i32) -> u8 {
        (sum >> self.precision).clamp(0, 255) as u8
    }
}

/// The cubic convolution kernel with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// `[rows, width_in, 3]` to `[rows, width_out, 3]`
fn resize_rows(pixels: &[u8], width_in: usize, width_out: usize) -> Result<Vec<u8>, Error> {
    let axis = Axis::new(width_in, width_out);
    let n_rows = pixels.len() / (width_in * 3);
    let mut out = byte_buffer(n_rows * width_out * 3)?;
    let rows = pixels
        .chunks_exact(width_in * 3)
        .zip(out.chunks_exact_mut(width_out * 3));
    for (row, out) in rows {
        for ((first, weights), out) in axis.taps().zip(out.chunks_exact_mut(3)) {
            let mut sums = [axis.half(); 3];
            let taps = &row[first * 3..(first + weights.len()) * 3];
            for (pixel, weight) in taps.chunks_exact(3).zip(weights) {
                sums[0] += weight * i32::from(pixel[0]);
                sums[1] += weight * i32::from(pixel[1]);
                sums[2] += weight * i32::from(pixel[2]);
            }
            out.copy_from_slice(&sums.map(|sum| axis.round(sum)));
        }
    }
    Ok(out)
}

/// `[height_in, row_bytes]` to `[height_out, row_bytes]`
fn resize_columns(
    pixels: &[u8],
    row_bytes: usize,
    height_in: usize,
    height_out: usize,
) -> Result<Vec<u8>, Error> {
    let axis = Axis::new(height_in, height_out);
    let mut out = byte_buffer(height_out * row_bytes)?;
    let mut sums = vec![0; row_bytes];
    for ((first, weights), out) in axis.taps().zip(out.chunks_exact_mut(row_bytes)) {
        sums.fill(axis.half());
        let rows =
            pixels[first * row_bytes..(first + weights.len()) * row_bytes].chunks_exact(row_bytes);
        for (row, weight) in rows.zip(weights) {
            for (sum, pixel) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(*pixel);
            }
        }
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out = axis.round(*sum);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_taps(n_in: usize, n_out: usize) -> (u32, Vec<i32>) {
        let axis = Axis::new(n_in, n_out);
        let (_, weights) = axis.taps().next().unwrap();
        (axis.precision, weights.to_vec())
    }

    #[test]
    fn integer_weights_equal_the_hand_worked_ones_of_the_specification() {
        assert_eq!(first_taps(64, 56), (15, vec![29212, 4546, -990]));
        assert_eq!(first_taps(48, 56), (14, vec![16911, -527]));
        assert_eq!(first_taps(1009, 1008), (15, vec![32744, 24, 0]));
    }

    #[test]
    fn every_tap_lies_inside_the_picture_and_weights_sum_to_one() {
        for (n_in, n_out) in [
            (1, 28),
            (2, 28),
            (5000, 28),
            (28, 4004),
            (27, 28),
            (20_000, 28),
            (3, 1),
        ] {
            let axis = Axis::new(n_in, n_out);
            assert_eq!(axis.spans.len(), n_out);
            for (first, weights) in axis.taps() {
                assert!(
                    first + weights.len() <= n_in && !weights.is_empty(),
                    "{n_in} to {n_out}"
                );
                let sum: i32 = weights.iter().sum();
                let off = (sum - (1 << axis.precision)).unsigned_abs() as usize;
                assert!(off <= weights.len(), "{n_in} to {n_out}: off by {off}");
                // A full-scale pixel under every tap cannot leave 32 bits.
                let largest: i64 = weights.iter().map(|w| i64::from(*w).abs() * 255).sum();
                assert!(largest < i64::from(i32::MAX) - (1 << 22));
            }
        }
    }
}
