//! Which keys each query sees: spans of neighbouring tokens that see each other, and whether a
//! query sees the tokens after its own.

use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::portable::Windows;

/// Which keys each query sees. Clones share what is put onto the device for it.
#[derive(Debug, Clone)]
pub struct KeyRanges {
    /// Tokens of each span, one span after the other.
    lengths: Vec<usize>,
    is_causal: bool,
    device: Device,
    made: Arc<Mutex<Made>>,
}

/// What the forms of the operation need on the device: made for the first layer, kept for the rest.
#[derive(Debug, Default)]
struct Made {
    /// Queries in a tile, and the tiles.
    tiles: Vec<(usize, Tiles)>,
    windows: Option<Windows>,
}

/// Queries that one workgroup computes together, with the keys that they see.
#[derive(Debug, Clone)]
pub struct Tiles {
    /// `[n, 4]`: first query, one past the last; first key, one past the last
    pub table: Tensor<2, Int>,
    pub n: usize,
}

impl KeyRanges {
    /// Every query sees the keys up to its own.
    pub fn causal(n_tokens: usize, device: &Device) -> Self {
        Self::new(vec![n_tokens], true, device)
    }

    /// Every query sees every key.
    pub fn full(n_tokens: usize, device: &Device) -> Self {
        Self::new(vec![n_tokens], false, device)
    }

    /// Queries see the keys of their own window; windows of these lengths follow one another.
    pub fn windows(lengths: &[usize], device: &Device) -> Self {
        Self::new(lengths.to_vec(), false, device)
    }

    fn new(lengths: Vec<usize>, is_causal: bool, device: &Device) -> Self {
        Self {
            lengths,
            is_causal,
            device: device.clone(),
            made: Arc::default(),
        }
    }

    /// Tokens of each span, one span after the other.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Whether a query sees no key after its own.
    pub(super) fn is_causal(&self) -> bool {
        self.is_causal
    }

    /// The queries in tiles of at most `n_queries`, each within one span.
    pub(super) fn tiles(&self, n_queries: usize) -> Tiles {
        let mut made = self.made();
        if let Some((_, tiles)) = made.tiles.iter().find(|(n, _)| *n == n_queries) {
            return tiles.clone();
        }
        let rows = tile_table(&self.lengths, self.is_causal, n_queries);
        let n = rows.len();
        let data = TensorData::new(rows.concat(), [n, 4]);
        let table = Tensor::from_data(data, &self.device);
        let tiles = Tiles { table, n };
        made.tiles.push((n_queries, tiles.clone()));
        tiles
    }

    /// The spans as rows of equal length.
    pub(super) fn as_windows(&self) -> Windows {
        let mut made = self.made();
        made.windows
            .get_or_insert_with(|| Windows::new(&self.lengths, &self.device))
            .clone()
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// First query and one past the last, first key and one past the last that any of them sees.
fn tile_table(lengths: &[usize], is_causal: bool, n_queries: usize) -> Vec<[i32; 4]> {
    let mut table = Vec::new();
    let mut start = 0;
    for length in lengths {
        let end = start + length;
        for first in (start..end).step_by(n_queries) {
            let last = end.min(first + n_queries);
            let last_key = if is_causal { last } else { end };
            table.push([first, last, start, last_key].map(|token| token as i32));
        }
        start = end;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_causal_tile_ends_with_the_key_of_its_last_query() {
        let table = tile_table(&[5], true, 2);
        assert_eq!(table, [[0, 2, 0, 2], [2, 4, 0, 4], [4, 5, 0, 5]]);
    }

    #[test]
    fn no_tile_reaches_into_the_next_window() {
        let table = tile_table(&[3, 0, 2], false, 2);
        assert_eq!(table, [[0, 2, 0, 3], [2, 3, 0, 3], [3, 5, 3, 5]]);
    }
}
