//! Items on their way into an index, and everything that may be wrong with them.

use std::collections::HashSet;

use super::Error;
use super::fields::Fields;
use super::index::Index;
use super::schema::{Space, Vectors};
use super::tokens::{Tokens, mean_direction};
use super::vectors::checked_norm;

/// The longest id in bytes.
pub const MAX_ID_BYTES: usize = 1_024;
/// The most rows of an index, dead ones included.
const MAX_ROWS: usize = u32::MAX as usize;

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
pub struct CheckedItem {
    pub norm: f64,
    /// What stands for the item where it has no vector of its own.
    pub mean: Option<Vec<f32>>,
    pub tokens: Option<Tokens>,
    pub fields: Box<[u8]>,
}

impl Index {
    /// Looks at everything that may be wrong with a batch; names of fields may have been added.
    pub(super) fn check_batch(&mut self, batch: &Batch) -> Result<Vec<CheckedItem>, Error> {
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
    fn check_tokens(&self, values: &[f32], of: impl Fn() -> String) -> Result<Tokens, Error> {
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
}

pub fn check_length(what: &'static str, needed: usize, found: usize) -> Result<(), Error> {
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
pub fn expect_vectors<'a, 's, T: ?Sized>(
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
