//! Rotary position tables, built on the host in f32 as the reference does.
//!
//! They are never computed on the device: software adapters (SwiftShader) are off by 2e-4 in sine
//! and cosine, and a table is a few kilobytes.
//!
//! Letters: T = tokens, P = patches, D = head_dim.

use burn::tensor::Device;

use crate::kernels::RopeTable;

/// Cosine and sine for each row and channel of a head, ready to rotate with.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// `[rows, D]`, row-major.
    pub cos: Vec<f32>,
    /// `[rows, D]`, row-major.
    pub sin: Vec<f32>,
    pub head_dim: usize,
}

impl Rotation {
    /// The table on a device, where one half of each row is enough: the other repeats it.
    pub fn upload(self, device: &Device) -> RopeTable {
        let half = |table: &[f32]| -> Vec<f32> {
            let rows = table.chunks(self.head_dim);
            rows.flat_map(|row| &row[..self.head_dim / 2])
                .copied()
                .collect()
        };
        RopeTable::new(&half(&self.cos), &half(&self.sin), self.head_dim, device)
    }
}

/// Position of every token on the three axes of M-RoPE: `[T]` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    pub time: Vec<u32>,
    pub height: Vec<u32>,
    pub width: Vec<u32>,
}

impl Positions {
    /// Text alone: 0, 1, 2, … on all axes.
    pub fn text(n_tokens: usize) -> Self {
        let axis: Vec<u32> = (0..n_tokens as u32).collect();
        Self {
            time: axis.clone(),
            height: axis.clone(),
            width: axis,
        }
    }

    /// Text around one picture of `n_rows x n_cols` merged units whose tokens start at `start`.
    ///
    /// The picture's tokens keep the time of its start and count rows and columns from there; the
    /// text after it continues one past the largest position used (spec section 5.2).
    pub fn with_image(n_tokens: usize, start: usize, n_rows: usize, n_cols: usize) -> Self {
        let mut positions = Self::text(n_tokens);
        let origin = start as u32;
        for (unit, token) in (start..start + n_rows * n_cols).enumerate() {
            positions.time[token] = origin;
            positions.height[token] = origin + (unit / n_cols) as u32;
            positions.width[token] = origin + (unit % n_cols) as u32;
        }
        let after = start + n_rows * n_cols;
        for (i, token) in (after..n_tokens).enumerate() {
            let position = origin + n_rows.max(n_cols) as u32 + i as u32;
            positions.time[token] = position;
            positions.height[token] = position;
            positions.width[token] = position;
        }
        positions
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }
}

/// `1 / theta^(2 i / dim)` for i in `0..dim / 2`.
fn inverse_frequencies(theta: f64, dim: usize) -> impl Iterator<Item = f32> {
    (0..dim / 2).map(move |i| 1.0 / (theta as f32).powf((2 * i) as f32 / dim as f32))
}

/// The multi-axis table of the decoder (spec section 5.3).
///
/// Channel j takes its position from time, height or width by `mrope_section`; channel j + D/2
/// repeats channel j.
pub fn mrope(
    positions: &Positions,
    theta: f64,
    mrope_section: [usize; 3],
    head_dim: usize,
) -> Rotation {
    let axes = [&positions.time, &positions.height, &positions.width];
    let axis_of_channel: Vec<usize> = mrope_section
        .iter()
        .enumerate()
        .flat_map(|(axis, n_channels)| std::iter::repeat_n(axis, *n_channels))
        .collect();
    let frequencies: Vec<f32> = inverse_frequencies(theta, head_dim).collect();
    table(positions.len(), head_dim, |row, channel| {
        axes[axis_of_channel[channel]][row] as f32 * frequencies[channel]
    })
}

/// The two-dimensional table of the vision tower (spec section 7.2).
///
/// - `patches`: row and column of each patch, in the order the tower computes them
///
/// The first half of the D/2 channels turns with the row, the second with the column.
pub fn vision(patches: &[(u32, u32)], head_dim: usize) -> Rotation {
    let frequencies: Vec<f32> = inverse_frequencies(10_000.0, head_dim / 2).collect();
    let n = frequencies.len();
    table(patches.len(), head_dim, |row, channel| {
        let (y, x) = patches[row];
        if channel < n {
            y as f32 * frequencies[channel]
        } else {
            x as f32 * frequencies[channel - n]
        }
    })
}

fn table(n_rows: usize, head_dim: usize, angle: impl Fn(usize, usize) -> f32) -> Rotation {
    let half = head_dim / 2;
    let mut cos = vec![0.0; n_rows * head_dim];
    let mut sin = vec![0.0; n_rows * head_dim];
    for row in 0..n_rows {
        for channel in 0..half {
            let (s, c) = angle(row, channel).sin_cos();
            for repeat in [channel, channel + half] {
                cos[row * head_dim + repeat] = c;
                sin[row * head_dim + repeat] = s;
            }
        }
    }
    Rotation { cos, sin, head_dim }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_time_still_and_counts_rows_and_columns() {
        // The check of spec section 5.2: four text tokens, 2 x 2 units, then text.
        let positions = Positions::with_image(15, 4, 2, 2);
        assert_eq!(
            positions.time,
            [0, 1, 2, 3, 4, 4, 4, 4, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(
            positions.height,
            [0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(
            positions.width,
            [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
    }
}
