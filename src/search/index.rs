//! The index: rows of items, of which the replaced and removed ones stay in place, dead, until the
//! next compaction.

use std::collections::BTreeSet;

use super::Error;
use super::batch::{Batch, CheckedItem, Upserted, check_length};
use super::fields::{Fields, Names};
use super::filter::Filter;
use super::ids::RowsById;
use super::journal::Journal;
use super::kernels::Kernels;
use super::schema::Schema;
use super::tokens::Tokens;
use super::vectors::{RowVectors, keep};

/// An index over single vectors, multi-vectors, or both; see the module.
#[derive(Debug)]
pub struct Index {
    pub(super) schema: Schema,
    pub(super) kernels: Kernels,
    pub(super) vectors: RowVectors,
    /// One for each row; empty where the schema has no multi-vectors.
    pub(super) tokens: Vec<Option<Tokens>>,
    pub(super) ids: Vec<Box<str>>,
    /// Packed; see `fields`.
    pub(super) fields: Vec<Box<[u8]>>,
    pub(super) is_alive: Vec<bool>,
    pub(super) n_alive: usize,
    pub(super) names: Names,
    rows_by_id: RowsById,
    pub(super) journal: Journal,
}

impl Index {
    /// An empty index.
    ///
    /// Fails when the schema cannot be used.
    pub fn new(schema: Schema) -> Result<Index, Error> {
        schema.check()?;
        Ok(Index {
            kernels: Kernels::detect(),
            vectors: RowVectors::new(&schema),
            tokens: Vec::new(),
            ids: Vec::new(),
            fields: Vec::new(),
            is_alive: Vec::new(),
            n_alive: 0,
            names: Names::default(),
            rows_by_id: RowsById::default(),
            journal: Journal::default(),
            schema,
        })
    }

    /// Computes with these kernels instead of the widest: to compare them.
    pub fn with_kernels(mut self, kernels: Kernels) -> Index {
        self.kernels = kernels;
        self
    }

    /// What the index holds.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.n_alive
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.n_alive == 0
    }

    /// Number of rows in memory: items, and what compaction will drop.
    pub fn n_rows(&self) -> usize {
        self.ids.len()
    }

    /// Adds items: all of them, or none.
    ///
    /// Fails when an id is there already, and when a vector has another length or space, is not
    /// finite or has no direction; the message names the item.
    pub fn add(&mut self, batch: &Batch) -> Result<usize, Error> {
        for (index, id) in batch.ids.iter().enumerate() {
            if self.row_of(id).is_some() {
                let (id, place) = (id.to_string(), "the index");
                return Err(Error::DuplicateId { index, id, place });
            }
        }
        let added = self.upsert(batch)?.added;
        Ok(added)
    }

    /// Adds items, or replaces those of the same id: all of them, or none. What is replaced moves to
    /// the end of the order.
    ///
    /// Fails as [`Index::add`], except that only ids inside the batch must differ.
    pub fn upsert(&mut self, batch: &Batch) -> Result<Upserted, Error> {
        let names_before = self.names.len();
        let checked = self.check_batch(batch).and_then(|items| {
            self.reserve(items.len())?;
            Ok(items)
        });
        let items = checked.inspect_err(|_| self.names.truncate(names_before))?;
        let width = self.schema.row_dimensions();
        let mut replaced = 0;
        for (index, (id, item)) in batch.ids.iter().zip(items).enumerate() {
            if let Some(row) = self.row_of(id) {
                self.kill(row);
                replaced += 1;
            }
            let given = batch
                .vectors
                .map(|rows| &rows.values[index * width..(index + 1) * width]);
            self.push(id, given, item);
        }
        Ok(Upserted {
            added: batch.ids.len() - replaced,
            replaced,
        })
    }

    /// Replaces the fields of items and keeps their vectors: of all of them, or of none.
    ///
    /// Fails when there is no item of an id, and on fields that are not stored.
    pub fn set_fields(&mut self, ids: &[&str], fields: &[Fields]) -> Result<usize, Error> {
        check_length("sets of fields", ids.len(), fields.len())?;
        let names_before = self.names.len();
        let mut changes = Vec::with_capacity(ids.len());
        for (id, fields) in ids.iter().zip(fields) {
            let row = self
                .row_of(id)
                .ok_or_else(|| Error::UnknownId { id: id.to_string() });
            let packed = row.and_then(|row| Ok((row, self.names.pack(fields)?)));
            changes.push(packed.inspect_err(|_| self.names.truncate(names_before))?);
        }
        for (row, packed) in changes {
            self.fields[row as usize] = packed;
            self.journal.updated(row);
        }
        Ok(ids.len())
    }

    /// Removes items; returns how many there were. An id that is not there is no error.
    pub fn remove(&mut self, ids: &[&str]) -> usize {
        let before = self.n_alive;
        for id in ids {
            if let Some(row) = self.row_of(id) {
                self.kill(row);
            }
        }
        before - self.n_alive
    }

    /// Removes every item that meets a condition; returns how many there were.
    pub fn remove_where(&mut self, filter: &Filter) -> Result<usize, Error> {
        let rows = self.rows_where(Some(filter))?;
        for row in &rows {
            self.kill(*row);
        }
        Ok(rows.len())
    }

    /// Whether there is an item of this id.
    pub fn contains(&self, id: &str) -> bool {
        self.row_of(id).is_some()
    }

    /// The ids of all items that meet a condition, in the order in which they came.
    pub fn ids_where(&self, filter: Option<&Filter>) -> Result<Vec<&str>, Error> {
        let rows = self.rows_where(filter)?;
        Ok(rows.iter().map(|row| &*self.ids[*row as usize]).collect())
    }

    /// The fields of an item.
    pub fn fields(&self, id: &str) -> Option<Fields> {
        let row = self.row_of(id)? as usize;
        Some(self.names.unpack(&self.fields[row]))
    }

    /// The single vector of an item, as it was given.
    pub fn vector(&self, id: &str) -> Option<&[f32]> {
        let row = self.row_of(id)? as usize;
        self.schema.single().map(|_| self.vectors.row(row))
    }

    /// The tokens of an item, `[n_tokens, multi dimensions]`: as they were given, or the nearest that
    /// bytes can say.
    pub fn multivector(&self, id: &str) -> Option<Vec<f32>> {
        Some(self.tokens_of(id)?.to_values())
    }

    /// Bytes of memory: full vectors, first stage, tokens, fields, ids.
    pub fn n_bytes(&self) -> [usize; 5] {
        let tokens: usize = self.tokens.iter().flatten().map(Tokens::n_bytes).sum();
        let fields: usize = self
            .fields
            .iter()
            .map(|packed| packed.len() + size_of::<Box<[u8]>>())
            .sum();
        let ids: usize = self
            .ids
            .iter()
            .map(|id| id.len() + size_of::<Box<str>>())
            .sum();
        let tokens = tokens + self.tokens.len() * size_of::<Option<Tokens>>();
        let ids = ids + self.rows_by_id.n_bytes();
        [
            self.vectors.full_bytes(),
            self.vectors.code_bytes(),
            tokens,
            fields,
            ids,
        ]
    }

    pub(super) fn row_of(&self, id: &str) -> Option<u32> {
        self.rows_by_id.find(&self.ids, id)
    }

    pub(super) fn tokens_of(&self, id: &str) -> Option<&Tokens> {
        self.tokens.get(self.row_of(id)? as usize)?.as_ref()
    }

    pub(super) fn rows_where(&self, filter: Option<&Filter>) -> Result<Vec<u32>, Error> {
        let filter = filter
            .map(|filter| filter.prepare(&self.names))
            .transpose()?;
        let rows = (0..self.ids.len()).filter(|row| {
            let fits = |filter: &super::filter::Prepared| {
                filter.matches(&self.ids[*row], &self.fields[*row])
            };
            self.is_alive[*row] && filter.as_ref().is_none_or(fits)
        });
        Ok(rows.map(|row| row as u32).collect())
    }

    /// Makes room, so that adding this many rows cannot fail.
    pub(super) fn reserve(&mut self, n: usize) -> Result<(), Error> {
        fn room<T>(list: &mut Vec<T>, n: usize) -> Result<(), Error> {
            let n_bytes = (n * size_of::<T>()) as u64;
            list.try_reserve(n)
                .map_err(|_| Error::OutOfMemory { n_bytes })
        }
        self.vectors.reserve(n)?;
        if self.schema.multi().is_some() {
            room(&mut self.tokens, n)?;
        }
        room(&mut self.ids, n)?;
        room(&mut self.fields, n)?;
        room(&mut self.is_alive, n)?;
        self.rows_by_id.reserve(&self.ids, n)
    }

    /// Adds a row for which there is room, and whose id no live row has.
    pub(super) fn push(&mut self, id: &str, vector: Option<&[f32]>, item: CheckedItem) {
        let row = self.ids.len() as u32;
        self.vectors.push(
            item.mean.as_deref().or(vector).unwrap_or_default(),
            item.norm,
        );
        if self.schema.multi().is_some() {
            self.tokens.push(item.tokens);
        }
        self.ids.push(id.into());
        self.fields.push(item.fields);
        self.is_alive.push(true);
        self.n_alive += 1;
        self.rows_by_id.insert(&self.ids, row);
    }

    /// Marks a live row as dead.
    pub(super) fn kill(&mut self, row: u32) {
        let at = row as usize;
        self.rows_by_id.remove(&self.ids, row);
        self.journal.removed(row, &self.ids[at]);
        self.is_alive[at] = false;
        self.n_alive -= 1;
        // Nothing looks at them again.
        self.fields[at] = Box::default();
        if let Some(tokens) = self.tokens.get_mut(at) {
            *tokens = None;
        }
    }

    /// Drops the dead rows from memory. The journal follows.
    pub(super) fn drop_dead_rows(&mut self) {
        let kept: Vec<u32> = (0..self.ids.len() as u32)
            .filter(|row| self.is_alive[*row as usize])
            .collect();
        let new_row = |row: u32| kept.partition_point(|kept| *kept < row) as u32;
        self.journal.renumber(new_row);
        self.vectors.keep(&kept);
        keep(&mut self.tokens, &kept);
        keep(&mut self.ids, &kept);
        keep(&mut self.fields, &kept);
        self.ids.truncate(kept.len());
        self.is_alive = vec![true; kept.len()];
        self.rows_by_id.clear();
        for row in 0..kept.len() as u32 {
            self.rows_by_id.insert(&self.ids, row);
        }
    }

    /// Rows whose fields changed, for the journal.
    pub(super) fn live_rows<'a>(
        &'a self,
        rows: &'a BTreeSet<u32>,
    ) -> impl Iterator<Item = u32> + 'a {
        rows.iter()
            .copied()
            .filter(|row| self.is_alive[*row as usize])
    }
}
