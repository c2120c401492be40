//! Which row has an id.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::Error;

/// Live rows by their ids, which stay in the list of ids.
#[derive(Debug, Default)]
pub struct RowsById {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl RowsById {
    pub fn find(&self, ids: &[Box<str>], id: &str) -> Option<u32> {
        self.table
            .find(self.hasher.hash_one(id), |row| &*ids[*row as usize] == id)
            .copied()
    }

    pub fn reserve(&mut self, ids: &[Box<str>], n: usize) -> Result<(), Error> {
        let hash = |row: &u32| self.hasher.hash_one(&*ids[*row as usize]);
        let n_bytes = (n * size_of::<u32>()) as u64;
        self.table
            .try_reserve(n, hash)
            .map_err(|_| Error::OutOfMemory { n_bytes })
    }

    pub fn insert(&mut self, ids: &[Box<str>], row: u32) {
        let hash = |row: &u32| self.hasher.hash_one(&*ids[*row as usize]);
        self.table.insert_unique(hash(&row), row, hash);
    }

    pub fn remove(&mut self, ids: &[Box<str>], row: u32) {
        let hash = self.hasher.hash_one(&*ids[row as usize]);
        if let Ok(entry) = self.table.find_entry(hash, |found| *found == row) {
            entry.remove();
        }
    }

    pub fn clear(&mut self) {
        self.table.clear();
    }

    /// Bytes taken from the allocator.
    pub fn n_bytes(&self) -> usize {
        self.table.capacity() * size_of::<u32>()
    }
}
