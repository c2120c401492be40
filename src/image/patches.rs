//! A resized picture cut into the rows that the vision tower's first matrix multiplies.
//!
//! Legend: `m` = merge_size, `p` = patch_size, `t` = temporal_patch_size.
//!
//! Row order: blocks of `m` x `m` patches, row of blocks by row of blocks; inside a block its patches
//! row by row. So `m * m` adjacent rows become one token. Inside a row: channel, frame, y, x.

use super::{Error, Preprocessor, RgbImage};

/// The patches of one picture.
#[derive(Clone, PartialEq)]
pub struct Patches {
    /// `[n_rows * n_cols, 3 * t * p * p]`, normalised.
    pub values: Vec<f32>,
    /// Height of the grid in patches, a multiple of `m`.
    pub n_rows: usize,
    /// Width of the grid in patches, a multiple of `m`.
    pub n_cols: usize,
}

impl Patches {
    /// Cuts a picture whose sides are multiples of `patch_size * merge_size`; this is private to the
    /// preprocessor, which sees to that.
    pub(super) fn new(settings: &Preprocessor, image: &RgbImage) -> Result<Patches, Error> {
        let Preprocessor {
            patch_size,
            merge_size,
            temporal_patch_size,
            ..
        } = *settings;
        let n_rows = image.height() / patch_size;
        let n_cols = image.width() / patch_size;
        let n_values = n_rows * n_cols * patch_size * patch_size * temporal_patch_size * 3;
        let mut values: Vec<f32> = Vec::new();
        values
            .try_reserve_exact(n_values)
            .map_err(|_| Error::OutOfMemory {
                n_bytes: n_values as u64 * 4,
            })?;

        let normalised = settings.normalised();
        let blocks = (0..n_rows / merge_size)
            .flat_map(|row| (0..n_cols / merge_size).map(move |col| (row, col)));
        for (block_row, block_col) in blocks {
            let inside = (0..merge_size).flat_map(|row| (0..merge_size).map(move |col| (row, col)));
            for (row, col) in inside {
                let top = (block_row * merge_size + row) * patch_size;
                let left = (block_col * merge_size + col) * patch_size;
                for (channel, normalised) in normalised.iter().enumerate() {
                    let start = values.len();
                    for y in top..top + patch_size {
                        let at = (y * image.width() + left) * 3;
                        let pixels = &image.pixels()[at..at + patch_size * 3];
                        let channel = pixels.iter().skip(channel).step_by(3);
                        values.extend(channel.map(|value| normalised[usize::from(*value)]));
                    }
                    let end = values.len();
                    for _ in 1..temporal_patch_size {
                        values.extend_from_within(start..end);
                    }
                }
            }
        }
        Ok(Patches {
            values,
            n_rows,
            n_cols,
        })
    }

    /// How many patches there are.
    pub fn n_patches(&self) -> usize {
        self.n_rows * self.n_cols
    }
}

impl std::fmt::Debug for Patches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Patches({} x {})", self.n_rows, self.n_cols)
    }
}
