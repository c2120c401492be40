//! The vectors that stand for each item: in full, with what the first stage reads of them.
//!
//! Full vectors are kept as they came; a cosine multiplies the inner product with the inverse of
//! each length. What the first stage reads is made from the full vectors whenever they come, from a
//! caller or from a file, and is never stored:
//!
//! - `Int8`: `round(x / s)` with `s = max |x| / 127`. The query is rounded to 16 bits, as finely as
//!   32-bit sums allow, so nearly all of the error is the item's.
//! - `Binary`: the sign of each number; likeness is the number of equal signs.

use super::Error;
use super::column::Column;
use super::kernels::Kernels;
use super::schema::{FirstStage, Metric, Schema};
use super::top_k::TopK;

/// Shortest and longest vector that is computed with: products of two stay inside `f32`.
const NORM_RANGE: std::ops::RangeInclusive<f64> = 1e-15..=1e15;

/// The Euclidean length of a vector, summed in `f64`.
///
/// Fails when a number is not finite, or when the length cannot be computed with (as that of a
/// vector of zeros).
pub fn checked_norm(values: &[f32], what: impl Fn() -> String) -> Result<f64, Error> {
    let norm = norm(values);
    if NORM_RANGE.contains(&norm) {
        return Ok(norm);
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(element) => Err(Error::NotFinite {
            what: what(),
            element,
        }),
        None => Err(Error::Norm { what: what(), norm }),
    }
}

fn norm(values: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    // Four sums, which a processor adds at once.
    let (mut a, mut b, mut c, mut d) = (0.0, 0.0, 0.0, 0.0);
    let (chunks, rest) = values.as_chunks::<4>();
    for [w, x, y, z] in chunks {
        a += square(*w);
        b += square(*x);
        c += square(*y);
        d += square(*z);
    }
    let rest: f64 = rest.iter().map(|value| square(*value)).sum();
    (a + b + c + d + rest).sqrt()
}

/// The largest 16-bit number of a query, for which a sum over `dimensions` products with bytes
/// cannot leave 32 bits.
fn query_limit(dimensions: usize) -> f32 {
    (i32::MAX as usize / (127 * dimensions)).min(i16::MAX as usize) as f32
}

/// A query in 16 bits, and the number that one of its steps stands for.
pub fn quantise_query(values: &[f32]) -> (Vec<i16>, f32) {
    let limit = query_limit(values.len());
    let largest = values
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let step = if largest > 0.0 { largest / limit } else { 1.0 };
    let codes = values.iter().map(|value| round_i32(value / step) as i16);
    (codes.collect(), step)
}

/// A vector in bytes, and the number that one of their steps stands for.
pub fn quantise_row(values: &[f32], codes: &mut Vec<i8>) -> f32 {
    let largest = values
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let step = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let scale = step.recip();
    codes.extend(
        values
            .iter()
            .map(|value| round_i32(value * scale).clamp(-127, 127) as i8),
    );
    step
}

/// To the nearest whole number, halves away from zero: the same on every machine, and quick where
/// rounding is no instruction.
fn round_i32(value: f32) -> i32 {
    (value + 0.5f32.copysign(value)) as i32
}

/// The signs of a vector, sixty-four to a word, filled up with zeros.
fn signs(values: &[f32], words: &mut Vec<u64>) {
    for chunk in values.chunks(64) {
        let mut word = 0;
        for (bit, value) in chunk.iter().enumerate() {
            word |= u64::from(value.to_bits() >> 31) << bit;
        }
        words.push(word);
    }
}

/// What the first stage reads.
#[derive(Debug, Clone)]
enum Codes {
    None,
    /// The first numbers of the full vectors; `factors` as below.
    Prefix {
        dimensions: usize,
        factors: Vec<f32>,
    },
    /// Inner product times `factor` is likeness: the step, over the length of the prefix for a cosine.
    Int8 {
        codes: Column<i8>,
        factors: Vec<f32>,
    },
    Binary {
        dimensions: usize,
        signs: Column<u64>,
    },
}

/// One vector for each row, with codes.
#[derive(Debug, Clone)]
pub struct RowVectors {
    metric: Metric,
    full: Column<f32>,
    /// For a cosine the inverse of each length, else empty.
    factors: Vec<f32>,
    codes: Codes,
    /// One row's codes, kept for its memory.
    bytes: Vec<i8>,
    words: Vec<u64>,
}

impl RowVectors {
    pub fn new(schema: &Schema) -> RowVectors {
        let codes = match schema.first_stage {
            FirstStage::None => Codes::None,
            FirstStage::Float32 { dimensions } => Codes::Prefix {
                dimensions,
                factors: Vec::new(),
            },
            FirstStage::Int8 { dimensions } => Codes::Int8 {
                codes: Column::new(dimensions),
                factors: Vec::new(),
            },
            FirstStage::Binary { dimensions } => Codes::Binary {
                dimensions,
                signs: Column::new(dimensions.div_ceil(64)),
            },
        };
        RowVectors {
            metric: schema.metric,
            full: Column::new(schema.row_dimensions()),
            factors: Vec::new(),
            codes,
            bytes: Vec::new(),
            words: Vec::new(),
        }
    }

    pub fn has_first_stage(&self) -> bool {
        !matches!(self.codes, Codes::None)
    }

    /// Makes room, so that pushing this many rows cannot fail.
    pub fn reserve(&mut self, n_rows: usize) -> Result<(), Error> {
        self.full.reserve(n_rows)?;
        reserve(&mut self.factors, n_rows)?;
        match &mut self.codes {
            Codes::None => Ok(()),
            Codes::Prefix { factors, .. } => reserve(factors, n_rows),
            Codes::Int8 { codes, factors } => {
                codes.reserve(n_rows)?;
                reserve(factors, n_rows)
            }
            Codes::Binary { signs, .. } => signs.reserve(n_rows),
        }
    }

    /// Adds a vector of known length (see [`checked_norm`]).
    pub fn push(&mut self, values: &[f32], norm: f64) {
        let cosine = self.metric == Metric::Cosine;
        self.full.push(values);
        if cosine {
            self.factors.push((1.0 / norm) as f32);
        }
        // The first numbers may all be zero; such a vector is like nothing.
        let inverse_of_prefix = |dimensions: usize| match self.metric {
            Metric::Dot => 1.0,
            Metric::Cosine => {
                let norm = self::norm(&values[..dimensions]);
                if NORM_RANGE.contains(&norm) {
                    (1.0 / norm) as f32
                } else {
                    0.0
                }
            }
        };
        match &mut self.codes {
            Codes::None => {}
            Codes::Prefix {
                dimensions,
                factors,
            } => factors.push(inverse_of_prefix(*dimensions)),
            Codes::Int8 { codes, factors } => {
                let dimensions = codes.width();
                self.bytes.clear();
                let step = quantise_row(&values[..dimensions], &mut self.bytes);
                codes.push(&self.bytes);
                factors.push(step * inverse_of_prefix(dimensions));
            }
            Codes::Binary { dimensions, signs } => {
                self.words.clear();
                self::signs(&values[..*dimensions], &mut self.words);
                signs.push(&self.words);
            }
        }
    }

    /// The vector of a row, as it came.
    pub fn row(&self, row: usize) -> &[f32] {
        self.full.row(row)
    }

    /// Offers every row's likeness to the query.
    ///
    /// - `wanted`: asked only about rows that are good enough
    pub fn scan(
        &self,
        kernels: Kernels,
        query: &[f32],
        top: &mut TopK,
        wanted: impl Fn(u32) -> bool,
    ) {
        self.scan_prefix(kernels, query, &self.factors, top, wanted);
    }

    /// Offers every row's likeness in what the first stage reads.
    pub fn scan_codes(
        &self,
        kernels: Kernels,
        query: &[f32],
        top: &mut TopK,
        wanted: impl Fn(u32) -> bool,
    ) {
        match &self.codes {
            Codes::None => self.scan(kernels, query, top, wanted),
            Codes::Prefix {
                dimensions,
                factors,
            } => {
                self.scan_prefix(kernels, &query[..*dimensions], factors, top, wanted);
            }
            Codes::Int8 { codes, factors } => {
                let (query, step) = quantise_query(&query[..codes.width()]);
                let mut dots = Vec::new();
                for (first, rows) in codes.pieces() {
                    dots.resize(rows.len() / codes.width(), 0);
                    kernels.dots_i8(&query, rows, &mut dots);
                    offer(first, &dots, top, &wanted, |i, dot| {
                        *dot as f32 * step * factors[first + i]
                    });
                }
            }
            Codes::Binary { dimensions, signs } => {
                let mut query_signs = Vec::new();
                self::signs(&query[..*dimensions], &mut query_signs);
                let mut distances = Vec::new();
                for (first, rows) in signs.pieces() {
                    distances.resize(rows.len() / signs.width(), 0);
                    kernels.hamming(&query_signs, rows, &mut distances);
                    offer(first, &distances, top, &wanted, |_, distance| {
                        -(*distance as f32)
                    });
                }
            }
        }
    }

    /// `factors`: one for each row, or none at all
    fn scan_prefix(
        &self,
        kernels: Kernels,
        query: &[f32],
        factors: &[f32],
        top: &mut TopK,
        wanted: impl Fn(u32) -> bool,
    ) {
        let mut dots = Vec::new();
        for (first, rows) in self.full.pieces() {
            dots.resize(rows.len() / self.full.width(), 0.0);
            kernels.dots_f32(query, rows, self.full.width(), &mut dots);
            match factors.get(first..) {
                Some(factors) if !factors.is_empty() => {
                    offer(first, &dots, top, &wanted, |i, dot| dot * factors[i]);
                }
                _ => offer(first, &dots, top, &wanted, |_, dot| *dot),
            }
        }
    }

    /// Offers the likeness of some rows, given in ascending order.
    pub fn rescore(&self, kernels: Kernels, query: &[f32], rows: &[u32], top: &mut TopK) {
        for four in rows.chunks(4) {
            // Where fewer are left, the last one stands in for the missing.
            let at = |i: usize| four[i.min(four.len() - 1)] as usize;
            let full = [
                self.row(at(0)),
                self.row(at(1)),
                self.row(at(2)),
                self.row(at(3)),
            ];
            let dots = kernels.dots_of_four(query, full);
            for (row, dot) in four.iter().zip(dots) {
                let score = dot * self.factors.get(*row as usize).copied().unwrap_or(1.0);
                if top.wants(score) {
                    top.push(*row, score);
                }
            }
        }
    }

    /// Keeps the rows with these ascending indices.
    pub fn keep(&mut self, rows: &[u32]) {
        self.full.keep(rows);
        keep(&mut self.factors, rows);
        match &mut self.codes {
            Codes::None => {}
            Codes::Prefix { factors, .. } => keep(factors, rows),
            Codes::Int8 { codes, factors } => {
                codes.keep(rows);
                keep(factors, rows);
            }
            Codes::Binary { signs, .. } => signs.keep(rows),
        }
    }

    /// Bytes of the full vectors.
    pub fn full_bytes(&self) -> usize {
        self.full.n_bytes() + self.factors.capacity() * 4
    }

    /// Bytes of what the first stage reads besides.
    pub fn code_bytes(&self) -> usize {
        match &self.codes {
            Codes::None => 0,
            Codes::Prefix { factors, .. } => factors.capacity() * 4,
            Codes::Int8 { codes, factors } => codes.n_bytes() + factors.capacity() * 4,
            Codes::Binary { signs, .. } => signs.n_bytes(),
        }
    }
}

fn offer<T>(
    first: usize,
    found: &[T],
    top: &mut TopK,
    wanted: &impl Fn(u32) -> bool,
    score: impl Fn(usize, &T) -> f32,
) {
    for (i, found) in found.iter().enumerate() {
        let score = score(i, found);
        let row = (first + i) as u32;
        if top.wants(score) && wanted(row) {
            top.push(row, score);
        }
    }
}

fn reserve<T>(list: &mut Vec<T>, n: usize) -> Result<(), Error> {
    list.try_reserve(n).map_err(|_| Error::OutOfMemory {
        n_bytes: (n * size_of::<T>()) as u64,
    })
}

/// Keeps the elements at these ascending places; a list that is empty stays so.
pub fn keep<T>(list: &mut Vec<T>, places: &[u32]) {
    if list.is_empty() {
        return;
    }
    for (to, from) in places.iter().enumerate() {
        list.swap(to, *from as usize);
    }
    list.truncate(places.len());
}
