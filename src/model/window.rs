//! In which order the vision tower computes its patches, and which of them attend to each other.
//!
//! A merged unit is a 2 x 2 square of patches, adjacent in the input. The units of a picture are
//! cut into windows (4 x 4 units in v4); windows go row by row, units row by row inside a window,
//! and edge windows are smaller (spec section 7.3).

/// The order of merged units and the windows they fall into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLayout {
    /// Row-major unit at each place of the window order: the reference's `window_index`.
    pub unit_order: Vec<u32>,
    /// Number of units in each window, in window order; they sum to the number of units.
    pub window_lengths: Vec<usize>,
}

impl WindowLayout {
    /// The layout of a grid of `n_rows x n_cols` merged units in windows of `side x side` units.
    pub fn new(n_rows: usize, n_cols: usize, side: usize) -> Self {
        let mut unit_order = Vec::with_capacity(n_rows * n_cols);
        let mut window_lengths = Vec::new();
        for top in (0..n_rows).step_by(side) {
            for left in (0..n_cols).step_by(side) {
                let before = unit_order.len();
                for row in top..n_rows.min(top + side) {
                    for col in left..n_cols.min(left + side) {
                        unit_order.push((row * n_cols + col) as u32);
                    }
                }
                window_lengths.push(unit_order.len() - before);
            }
        }
        Self {
            unit_order,
            window_lengths,
        }
    }

    /// Patches in the order computed, as rows of the input.
    ///
    /// - `merge_unit`: patches per unit, adjacent in the input
    pub fn patch_order(&self, merge_unit: usize) -> Vec<u32> {
        self.unit_order
            .iter()
            .flat_map(|unit| {
                let first = *unit as usize * merge_unit;
                (first..first + merge_unit).map(|patch| patch as u32)
            })
            .collect()
    }

    /// Patches in each window, in window order.
    pub fn patch_lengths(&self, merge_unit: usize) -> Vec<usize> {
        self.window_lengths
            .iter()
            .map(|n_units| n_units * merge_unit)
            .collect()
    }

    /// Place of each row-major unit in the window order: undoes [`unit_order`](Self::unit_order).
    pub fn inverse(&self) -> Vec<u32> {
        let mut inverse = vec![0; self.unit_order.len()];
        for (place, unit) in self.unit_order.iter().enumerate() {
            inverse[*unit as usize] = place as u32;
        }
        inverse
    }

    /// Row and column of every patch, in the order computed.
    pub fn patch_positions(&self, n_cols: usize, merge_size: usize) -> Vec<(u32, u32)> {
        let mut positions = Vec::with_capacity(self.unit_order.len() * merge_size * merge_size);
        for unit in &self.unit_order {
            let (row, col) = (*unit as usize / n_cols, *unit as usize % n_cols);
            for y in 0..merge_size {
                for x in 0..merge_size {
                    positions.push(((row * merge_size + y) as u32, (col * merge_size + x) as u32));
                }
            }
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_windows_are_smaller_and_units_stay_row_major_inside() {
        let layout = WindowLayout::new(2, 5, 4);
        assert_eq!(layout.window_lengths, [8, 2]);
        assert_eq!(layout.unit_order, [0, 1, 2, 3, 5, 6, 7, 8, 4, 9]);
    }

    #[test]
    fn the_inverse_puts_every_unit_back() {
        let layout = WindowLayout::new(9, 11, 4);
        let inverse = layout.inverse();
        for (place, unit) in layout.unit_order.iter().enumerate() {
            assert_eq!(inverse[*unit as usize] as usize, place);
        }
    }
}
