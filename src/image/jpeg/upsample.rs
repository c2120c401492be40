//! Brings a row of a colour plane to the picture's resolution, as libjpeg's "fancy upsampling".
//!
//! Doubling uses a triangle filter: each new sample is 3/4 of the nearer and 1/4 of the farther old
//! one, with roundings that alternate between neighbours so that no drift remains. In both
//! directions at once the quarters become sixteenths. Other factors repeat samples, and so does
//! doubling the width of a plane of at most two columns.

use super::scan::Plane;

/// Makes rows of a plane at the picture's resolution.
pub(super) struct Upsampler<'a> {
    plane: &'a Plane,
    /// Sums of the nearer and the farther row, where rows are mixed.
    mixed: Vec<i32>,
}

impl<'a> Upsampler<'a> {
    pub(super) fn new(plane: &'a Plane) -> Upsampler<'a> {
        Upsampler {
            plane,
            mixed: Vec::new(),
        }
    }

    /// Writes row `y` of the picture.
    ///
    /// - `out`: at least `width * h_expand` samples; those past the picture's width are of no use
    pub(super) fn row(&mut self, y: usize, out: &mut [u8]) {
        let plane = self.plane;
        let row = |at: usize| &plane.samples[at * plane.stride..at * plane.stride + plane.width];
        let near_at = y / plane.v_expand;
        let near = row(near_at);
        // The plane's first and last rows are their own neighbours.
        let far = || match y % 2 {
            0 => row(near_at.saturating_sub(1)),
            _ => row((near_at + 1).min(plane.height - 1)),
        };
        let is_wide = plane.width > 2;
        match (plane.h_expand, plane.v_expand) {
            (1, 2) => {
                let bias = 1 + (y % 2) as i32;
                for ((out, near), far) in out.iter_mut().zip(near).zip(far()) {
                    *out = ((3 * i32::from(*near) + i32::from(*far) + bias) >> 2) as u8;
                }
            }
            (2, 1) if is_wide => {
                self.mixed.clear();
                self.mixed
                    .extend(near.iter().map(|sample| i32::from(*sample)));
                double(&self.mixed, out, 2, [1, 2]);
            }
            (2, 2) if is_wide => {
                self.mixed.clear();
                let pairs = near.iter().zip(far());
                self.mixed
                    .extend(pairs.map(|(near, far)| 3 * i32::from(*near) + i32::from(*far)));
                double(&self.mixed, out, 4, [8, 7]);
            }
            (1, _) => out[..plane.width].copy_from_slice(near),
            (h_expand, _) => {
                for (out, sample) in out.chunks_mut(h_expand).zip(near) {
                    out.fill(*sample);
                }
            }
        }
    }
}

/// Doubles a row of sums whose unit is `2^(n_bits - 2)`: `(3 * this + neighbour + bias) >> n_bits`,
/// with the first bias towards the left neighbour and the second towards the right.
fn double(sums: &[i32], out: &mut [u8], n_bits: u32, [left_bias, right_bias]: [i32; 2]) {
    let last = sums.len() - 1;
    for (at, out) in out.chunks_exact_mut(2).take(sums.len()).enumerate() {
        let this = sums[at];
        // At the edges the neighbour is the sample itself.
        let left = sums[at.saturating_sub(1)];
        let right = sums[(at + 1).min(last)];
        out[0] = ((3 * this + left + left_bias) >> n_bits) as u8;
        out[1] = ((3 * this + right + right_bias) >> n_bits) as u8;
    }
}
