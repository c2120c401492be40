//! Search: a first stage that reads little of everything, then the full vectors of what it picked.
//!
//! | query | first stage | then |
//! | --- | --- | --- |
//! | vector | codes or the first numbers, where the schema has them | full vectors |
//! | vector and multi-vector | the above | MaxSim |
//! | multi-vector, items with single vectors too | none | MaxSim |
//! | multi-vector, items without | mean direction of the tokens | MaxSim |
//!
//! A filter is asked only about items that are good enough to be kept.

use super::Error;
use super::batch::{InSpace, given_vectors};
use super::fields::Fields;
use super::filter::Filter;
use super::index::Index;
use super::schema::{FirstStage, Metric};
use super::tokens::{TokenQuery, mean_direction};
use super::top_k::{Scored, TopK};
use super::vectors::checked_norm;

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// A single vector.
    pub vector: Option<InSpace<'a, [f32]>>,
    /// A vector for each token, `[n_tokens, multi dimensions]`.
    pub multivector: Option<InSpace<'a, [f32]>>,
    /// How many hits, at least 1.
    pub k: usize,
    /// Which items may be found.
    pub filter: Option<&'a Filter>,
    /// How many items the first stage hands on. By default `max(200 k, 2000)` for one that reads bits,
    /// `max(10 k, 100)` for any other.
    pub candidates: Option<usize>,
    /// Without a first stage.
    pub exact: bool,
}

/// An item that was found.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'i> {
    index: &'i Index,
    scored: Scored,
}

impl<'i> Hit<'i> {
    /// The item's id.
    pub fn id(&self) -> &'i str {
        &self.index.ids[self.scored.row as usize]
    }

    /// Cosine or inner product; for a multi-vector their sum over the tokens of the query.
    pub fn score(&self) -> f32 {
        self.scored.score
    }

    /// The item's fields.
    pub fn fields(&self) -> Fields {
        self.index
            .names
            .unpack(&self.index.fields[self.scored.row as usize])
    }
}

impl Index {
    /// The best `k` items, best first; of equal ones those that came earlier.
    ///
    /// Fails when the query has no vector that the index holds, or one that could not be added.
    pub fn search(&self, query: &Query) -> Result<Vec<Hit<'_>>, Error> {
        for (option, number) in [("k", Some(query.k)), ("candidates", query.candidates)] {
            if number == Some(0) {
                let (needed, found) = ("at least 1".to_owned(), "0".to_owned());
                return Err(Error::Option {
                    option,
                    needed,
                    found,
                });
            }
        }
        let (single, multi) = (self.schema.single(), self.schema.multi());
        let single = given_vectors(single, query.vector, "single vectors", "vector")?;
        let multi = given_vectors(multi, query.multivector, "multi-vectors", "multivector")?;
        let vector = match single {
            Some((values, space)) => {
                if values.len() != space.dimensions {
                    let what = "the vector of the query".to_owned();
                    let (needed, found) = (space.dimensions as u64, values.len() as u64);
                    return Err(Error::Dimensions {
                        what,
                        needed,
                        found,
                    });
                }
                Some(self.direction(values)?)
            }
            None => None,
        };
        let tokens = match multi {
            Some((values, space)) => {
                let (storage, metric) = (self.schema.token_storage, self.schema.metric);
                Some(TokenQuery::new(values, space.dimensions, storage, metric)?)
            }
            None => None,
        };
        let filter = query
            .filter
            .map(|filter| filter.prepare(&self.names))
            .transpose()?;
        let wanted = |row: u32| {
            let row = row as usize;
            self.is_alive[row]
                && filter
                    .as_ref()
                    .is_none_or(|filter| filter.matches(&self.ids[row], &self.fields[row]))
        };
        // More than there are would only take memory.
        let at_most = |n: usize| n.min(self.n_alive).max(1);
        let k = at_most(query.k);

        let best = match (vector, tokens) {
            (Some(vector), None) => {
                let candidates = query
                    .candidates
                    .unwrap_or(self.default_candidates(k))
                    .max(k);
                self.best_rows(&vector, k, candidates, query.exact, &wanted)
                    .into_best_first()
            }
            (vector, Some(tokens)) => {
                let has_tokens = |row: u32| self.tokens[row as usize].is_some();
                let wanted = |row: u32| has_tokens(row) && wanted(row);
                // Where items have no vector of their own, the mean direction is theirs.
                let vector = vector.or_else(|| match (self.schema.single(), multi) {
                    (None, Some((values, space))) => Some(mean_direction(values, space.dimensions)),
                    _ => None,
                });
                let candidates = query
                    .candidates
                    .unwrap_or(k.saturating_mul(10).max(100))
                    .max(k);
                let rows: Vec<u32> = match vector {
                    Some(vector) if !query.exact && candidates < self.n_alive => {
                        let read = self.default_candidates(candidates);
                        self.best_rows(&vector, candidates, read, false, &wanted)
                            .into_rows()
                    }
                    _ => (0..self.ids.len() as u32)
                        .filter(|row| wanted(*row))
                        .collect(),
                };
                let mut top = TopK::new(k);
                let mut best = Vec::new();
                for row in rows {
                    let Some(item) = &self.tokens[row as usize] else {
                        continue;
                    };
                    let score = tokens.max_sim(self.kernels, item, &mut best);
                    if top.wants(score) {
                        top.push(row, score);
                    }
                }
                top.into_best_first()
            }
            (None, None) => {
                return Err(Error::Option {
                    option: "vector",
                    needed: "a vector or a multi-vector".to_owned(),
                    found: "neither".to_owned(),
                });
            }
        };
        Ok(best
            .into_iter()
            .map(|scored| Hit {
                index: self,
                scored,
            })
            .collect())
    }

    /// The likeness of each token of a query to each token of an item, `[n_query_tokens, n_tokens]`;
    /// `None` where the item has no tokens.
    ///
    /// Fails as a search with this multi-vector.
    pub fn token_likeness(
        &self,
        id: &str,
        multivector: InSpace<[f32]>,
    ) -> Result<Option<Vec<f32>>, Error> {
        let (multi, given) = (self.schema.multi(), Some(multivector));
        let given = given_vectors(multi, given, "multi-vectors", "multivector")?;
        let Some((values, space)) = given else {
            return Ok(None);
        };
        let (storage, metric) = (self.schema.token_storage, self.schema.metric);
        let query = TokenQuery::new(values, space.dimensions, storage, metric)?;
        Ok(self.tokens_of(id).map(|item| query.likeness(item)))
    }

    /// How many items the first stage hands on for `k` hits.
    fn default_candidates(&self, k: usize) -> usize {
        match self.schema.first_stage {
            FirstStage::Binary { .. } => k.saturating_mul(200).max(2_000),
            _ => k.saturating_mul(10).max(100),
        }
    }

    fn best_rows(
        &self,
        vector: &[f32],
        k: usize,
        candidates: usize,
        exact: bool,
        wanted: &impl Fn(u32) -> bool,
    ) -> TopK {
        let mut best = TopK::new(k);
        if exact || !self.vectors.has_first_stage() || candidates >= self.n_alive {
            self.vectors.scan(self.kernels, vector, &mut best, wanted);
            return best;
        }
        let mut picked = TopK::new(candidates);
        self.vectors
            .scan_codes(self.kernels, vector, &mut picked, wanted);
        self.vectors
            .rescore(self.kernels, vector, &picked.into_rows(), &mut best);
        best
    }

    /// The vector of a query, of length 1 for a cosine.
    fn direction(&self, values: &[f32]) -> Result<Vec<f32>, Error> {
        let norm = checked_norm(values, || "the vector of the query".to_owned())?;
        Ok(match self.schema.metric {
            Metric::Dot => values.to_vec(),
            Metric::Cosine => values
                .iter()
                .map(|x| (f64::from(*x) / norm) as f32)
                .collect(),
        })
    }
}
