//! The index: rows of items, of which the replaced and removed ones stay in place, dead, until the
//! next compaction.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::Error;
use super::fields::{Fields, Names};
use super::filter::Filter;
use super::journal::Journal;
use super::kernels::Kernels;
use super::schema::{Schema, Space, Vectors};
use super::tokens::{Tokens, mean_direction};
use super::vectors::{RowVectors, checked_norm, keep};

/// The longest id in bytes.
pub const MAX_ID_BYTES: usize = 1_024;
/// The most rows of an index, dead ones included.
const MAX_ROWS: usize = u32::MAX as usize;

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

/// Vectors of a batch with the space that they lie in.
#[derive(Debug)]
pub struct InSpace<'a, T: ?Sized> {
    /// The vectors.
    pub values: &'a T,
    /// Their space; must be the index's.
    pub space: &'a str,
}

// Derived, these would ask the same of `T`, of which there is only a reference.
impl<T: ?Sized> Clone for InSpace<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for InSpace<'_, T> {}

/// Items to be added.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// One for each item, 1 to 1024 bytes, none twice.
    pub ids: &'a [&'a str],
    /// `[n_items, dimensions]`; needed where the schema has single vectors.
    pub vectors: Option<InSpace<'a, [f32]>>,
    /// For each item its tokens, `[n_tokens, multi dimensions]`; `None` for an item without, where
    /// the schema also has single vectors.
    pub multivectors: Option<InSpace<'a, [Option<&'a [f32]>]>>,
    /// For each item its fields.
    pub fields: Option<&'a [Fields]>,
}

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upserted {
    /// Items that were new.
    pub added: usize,
    /// Items that took the place of others.
    pub replaced: usize,
}

/// An item that passed every check.
#[derive(Debug)]
pub(super) struct CheckedItem {
    norm: f64,
    /// What stands for the item where it has no vector of its own.
    mean: Option<Vec<f32>>,
    tokens: Option<Tokens>,
    fields: Box<[u8]>,
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
        let ids = ids + self.rows_by_id.table.capacity() * size_of::<u32>();
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

    fn check_batch(&mut self, batch: &Batch) -> Result<Vec<CheckedItem>, Error> {
        let n = batch.ids.len();
        if n > MAX_ROWS - self.ids.len() {
            return Err(Error::TooMany {
                what: "rows",
                max: MAX_ROWS,
            });
        }
        let mut seen = HashSet::with_capacity(n);
        for (index, id) in batch.ids.iter().enumerate() {
            check_id(index, id)?;
            if !seen.insert(*id) {
                let (id, place) = (id.to_string(), "the same batch");
                return Err(Error::DuplicateId { index, id, place });
            }
        }
        let vectors = expect_vectors(
            self.schema.single(),
            batch.vectors,
            "single vectors",
            "vectors",
        )?;
        let multis = expect_vectors(
            self.schema.multi(),
            batch.multivectors,
            "multi-vectors",
            "multivectors",
        )?;
        if let Some((values, space)) = vectors
            && values.len() != n * space.dimensions
        {
            let what = format!("the vectors of {n} items");
            let (needed, found) = (n * space.dimensions, values.len());
            return Err(Error::Dimensions {
                what,
                needed,
                found,
            });
        }
        if let Some((tokens, _)) = multis {
            check_length("multi-vectors", n, tokens.len())?;
        }
        if let Some(fields) = batch.fields {
            check_length("sets of fields", n, fields.len())?;
        }
        let mut items = Vec::new();
        items
            .try_reserve(n)
            .map_err(|_| Error::OutOfMemory { n_bytes: n as u64 })?;
        for (index, id) in batch.ids.iter().enumerate() {
            let vector = vectors.map(|(values, space)| {
                &values[index * space.dimensions..(index + 1) * space.dimensions]
            });
            let tokens = match multis.and_then(|(tokens, _)| tokens[index]) {
                Some(values) => {
                    Some(self.check_tokens(values, || format!("item {index} (`{id}`)"))?)
                }
                None => None,
            };
            let empty = Fields::new();
            let fields = batch.fields.map_or(&empty, |fields| &fields[index]);
            let packed = self.names.pack(fields)?;
            items.push(
                self.check_item(vector, tokens, packed, || format!("item {index} (`{id}`)"))?,
            );
        }
        Ok(items)
    }

    /// Stores the tokens of an item.
    pub(super) fn check_tokens(
        &self,
        values: &[f32],
        of: impl Fn() -> String,
    ) -> Result<Tokens, Error> {
        let width = self.schema.multi().map_or(1, |space| space.dimensions);
        Tokens::new(
            values,
            width,
            self.schema.token_storage,
            self.schema.metric,
            of,
        )
    }

    /// Looks at everything that may be wrong with an item but its id.
    ///
    /// - `of`: names the item
    pub(super) fn check_item(
        &self,
        vector: Option<&[f32]>,
        tokens: Option<Tokens>,
        fields: Box<[u8]>,
        of: impl Fn() -> String,
    ) -> Result<CheckedItem, Error> {
        let mean = match (&self.schema.vectors, &tokens) {
            // From what is stored, so that the file gives the same.
            (Vectors::Multi(space), Some(tokens)) => {
                Some(mean_direction(&tokens.to_values(), space.dimensions))
            }
            (Vectors::Multi(space), None) => {
                return Err(Error::Dimensions {
                    what: format!("the multi-vector of {}", of()),
                    needed: space.dimensions,
                    found: 0,
                });
            }
            _ => None,
        };
        let row = mean.as_deref().or(vector).unwrap_or_default();
        let norm = checked_norm(row, || format!("the vector of {}", of()))?;
        Ok(CheckedItem {
            norm,
            mean,
            tokens,
            fields,
        })
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
        self.rows_by_id.table.clear();
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

fn check_length(what: &'static str, needed: usize, found: usize) -> Result<(), Error> {
    if needed == found {
        Ok(())
    } else {
        Err(Error::BatchLength {
            what,
            needed,
            found,
        })
    }
}

fn check_id(index: usize, id: &str) -> Result<(), Error> {
    let (found, max) = (id.len(), MAX_ID_BYTES);
    if (1..=max).contains(&found) {
        Ok(())
    } else {
        Err(Error::IdLength { index, max, found })
    }
}

/// What a batch or a query gives of one kind of vector, if it is what the schema has of it.
pub(super) fn expect_vectors<'a, 's, T: ?Sized>(
    space: Option<&'s Space>,
    given: Option<InSpace<'a, T>>,
    what: &'static str,
    option: &'static str,
) -> Result<Option<(&'a T, &'s Space)>, Error> {
    match (space, given) {
        (None, None) => Ok(None),
        (Some(space), Some(given)) if space.name == given.space => Ok(Some((given.values, space))),
        (Some(space), Some(given)) => Err(Error::Space {
            what,
            needed: space.name.clone(),
            found: given.space.to_owned(),
        }),
        (Some(_), None) if what == "multi-vectors" => Ok(None),
        (Some(space), None) => Err(Error::Option {
            option,
            needed: format!("{} numbers for each item", space.dimensions),
            found: "none".to_owned(),
        }),
        (None, Some(_)) => Err(Error::Option {
            option,
            needed: format!("an index with {what}"),
            found: "one without".to_owned(),
        }),
    }
}

/// Live rows by their ids, which stay in the list of ids.
#[derive(Debug, Default)]
struct RowsById {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl RowsById {
    fn find(&self, ids: &[Box<str>], id: &str) -> Option<u32> {
        self.table
            .find(self.hasher.hash_one(id), |row| &*ids[*row as usize] == id)
            .copied()
    }

    fn reserve(&mut self, ids: &[Box<str>], n: usize) -> Result<(), Error> {
        let hash = |row: &u32| self.hasher.hash_one(&*ids[*row as usize]);
        let n_bytes = (n * size_of::<u32>()) as u64;
        self.table
            .try_reserve(n, hash)
            .map_err(|_| Error::OutOfMemory { n_bytes })
    }

    fn insert(&mut self, ids: &[Box<str>], row: u32) {
        let hash = |row: &u32| self.hasher.hash_one(&*ids[*row as usize]);
        self.table.insert_unique(hash(&row), row, hash);
    }

    fn remove(&mut self, ids: &[Box<str>], row: u32) {
        let hash = self.hasher.hash_one(&*ids[row as usize]);
        if let Ok(entry) = self.table.find_entry(hash, |found| *found == row) {
            entry.remove();
        }
    }
}
