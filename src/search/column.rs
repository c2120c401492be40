//! Rows of one width, in blocks of about a megabyte: growing copies nothing, and a search reads
//! block after block.

use super::Error;

/// How much a block is meant to hold.
const BLOCK_BYTES: usize = 1 << 20;

/// `[len, width]`
#[derive(Debug, Clone)]
pub struct Column<T> {
    width: usize,
    rows_per_block: usize,
    /// All but the last are full.
    blocks: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> Column<T> {
    /// An empty column of rows of `width >= 1` numbers.
    pub fn new(width: usize) -> Column<T> {
        let row_bytes = (width * size_of::<T>()).max(1);
        Column {
            width,
            rows_per_block: (BLOCK_BYTES / row_bytes).max(1),
            blocks: Vec::new(),
            len: 0,
        }
    }

    /// Makes room, so that pushing this many rows cannot fail.
    pub fn reserve(&mut self, n_rows: usize) -> Result<(), Error> {
        let (mut block, mut filled) = (
            self.len / self.rows_per_block,
            self.len % self.rows_per_block,
        );
        let mut left = n_rows;
        while left > 0 {
            let taken = left.min(self.rows_per_block - filled);
            if self.blocks.len() <= block {
                self.blocks.push(Vec::new());
            }
            let numbers = &mut self.blocks[block];
            // The first block grows by doubling, so that a small index stays small.
            let (more, reserved) = if block == 0 {
                let more = taken * self.width;
                (more, numbers.try_reserve(more))
            } else {
                let more = self.rows_per_block * self.width - numbers.len();
                (more, numbers.try_reserve_exact(more))
            };
            reserved.map_err(|_| Error::OutOfMemory {
                n_bytes: (more * size_of::<T>()) as u64,
            })?;
            (left, block, filled) = (left - taken, block + 1, 0);
        }
        Ok(())
    }

    /// Adds a row of exactly `width` numbers, for which there is room.
    pub fn push(&mut self, row: &[T]) {
        debug_assert_eq!(row.len(), self.width);
        let block = self.len / self.rows_per_block;
        if self.blocks.len() <= block {
            self.blocks.push(Vec::new());
        }
        self.blocks[block].extend_from_slice(row);
        self.len += 1;
    }

    /// Number of rows.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Row `index < len`.
    pub fn row(&self, index: usize) -> &[T] {
        let start = index % self.rows_per_block * self.width;
        &self.blocks[index / self.rows_per_block][start..start + self.width]
    }

    /// The rows in pieces that lie one after the other: the first row of each, and its numbers.
    pub fn pieces(&self) -> impl Iterator<Item = (usize, &[T])> {
        let first = (0..).step_by(self.rows_per_block);
        first
            .zip(self.blocks.iter().map(Vec::as_slice))
            .filter(|(_, rows)| !rows.is_empty())
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Keeps the rows with these ascending indices.
    pub fn keep(&mut self, rows: &[u32]) {
        for (to, from) in rows.iter().enumerate() {
            let (from_block, to_block) = (
                *from as usize / self.rows_per_block,
                to / self.rows_per_block,
            );
            let from = *from as usize % self.rows_per_block * self.width;
            let to = to % self.rows_per_block * self.width;
            if from_block == to_block {
                self.blocks[to_block].copy_within(from..from + self.width, to);
            } else {
                let (left, right) = self.blocks.split_at_mut(from_block);
                left[to_block][to..to + self.width]
                    .copy_from_slice(&right[0][from..from + self.width]);
            }
        }
        self.len = rows.len();
        self.blocks.truncate(self.len.div_ceil(self.rows_per_block));
        if let Some(last) = self.blocks.last_mut() {
            let rows = self.len - (self.len - 1) / self.rows_per_block * self.rows_per_block;
            last.truncate(rows * self.width);
        }
    }

    /// Bytes taken from the allocator.
    pub fn n_bytes(&self) -> usize {
        self.blocks
            .iter()
            .map(|block| block.capacity() * size_of::<T>())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(n_rows: usize, width: usize) -> Column<u64> {
        let mut column = Column::new(width);
        for row in 0..n_rows as u64 {
            column.reserve(1).expect("memory");
            column.push(&vec![row; width]);
        }
        column
    }

    #[test]
    fn rows_of_several_blocks_come_back_as_they_were_pushed() {
        // 20,000 bytes a row: 52 rows to a block.
        let column = filled(120, 2_500);
        assert_eq!(column.len(), 120);
        for row in 0..120 {
            assert!(column.row(row).iter().all(|value| *value == row as u64));
        }
        let pieces: Vec<_> = column
            .pieces()
            .map(|(first, rows)| (first, rows.len() / 2_500))
            .collect();
        assert_eq!(pieces, [(0, 52), (52, 52), (104, 16)]);
    }

    #[test]
    fn keeping_some_rows_moves_them_up_across_blocks() {
        let mut column = filled(120, 2_500);
        let kept: Vec<u32> = (0..120).filter(|row| row % 3 != 1).collect();
        column.keep(&kept);
        assert_eq!(column.len(), kept.len());
        for (row, from) in kept.iter().enumerate() {
            assert_eq!(column.row(row)[0], u64::from(*from));
        }
        column.push(&vec![7; 2_500]);
        assert_eq!(column.row(kept.len())[2_499], 7);
        column.keep(&[]);
        assert_eq!((column.len(), column.pieces().count()), (0, 0));
    }

    #[test]
    fn room_that_was_reserved_is_taken_once() {
        let mut column: Column<u64> = Column::new(2_500);
        column.reserve(120).expect("memory");
        let reserved = column.n_bytes();
        for row in 0..120 {
            column.push(&vec![row; 2_500]);
        }
        assert_eq!(column.n_bytes(), reserved);
        assert!(reserved >= 120 * 2_500 * 8);
    }

    #[test]
    fn a_column_that_no_memory_can_hold_is_an_error() {
        let mut column: Column<u64> = Column::new(1 << 40);
        let refused = column.reserve(1 << 10);
        assert!(matches!(refused, Err(Error::OutOfMemory { .. })));
    }
}
