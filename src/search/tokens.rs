//! Multi-vectors: a vector for each token of an item, compared by MaxSim.
//!
//! `MaxSim(query, item) = sum over query tokens of max over item tokens of likeness`
//!
//! Stored in a byte a number, a token is `round(x / s)`, `s = max |x| / 127`. A cosine then takes the
//! length of what is stored, so that it needs no scale and is the same after the file is read.
//!
//! Reference: Khattab and Zaharia, "ColBERT", 2020, equation 3.

use super::Error;
use super::kernels::Kernels;
use super::schema::{Metric, TokenStorage};
use super::vectors::{checked_norm, quantise_query, quantise_row};

/// The tokens of one item. `T` tokens of `width` numbers.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// `[T]`: likeness is the inner product of what is stored, times this.
    factors: Box<[f32]>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    /// `[T, width]`
    Float32(Box<[f32]>),
    /// `codes`: `[T, width]`, `steps`: `[T]`
    Int8 { codes: Box<[i8]>, steps: Box<[f32]> },
}

/// Tokens of a query.
#[derive(Debug)]
pub struct TokenQuery {
    width: usize,
    values: QueryValues,
    /// Likeness of a token is the kernel's number times this.
    factors: Vec<f32>,
}

#[derive(Debug)]
enum QueryValues {
    Float32(Vec<f32>),
    Int8(Vec<i16>),
}

impl Tokens {
    /// Takes the tokens of an item, `[T, width]` with `T >= 1`.
    ///
    /// Fails when a token is not finite or has no direction.
    pub fn new(
        values: &[f32],
        width: usize,
        storage: TokenStorage,
        metric: Metric,
        what: impl Fn() -> String,
    ) -> Result<Tokens, Error> {
        check_tokens(values, width, &what)?;
        let stored = match storage {
            TokenStorage::Float32 => Values::Float32(values.into()),
            TokenStorage::Int8 => {
                let mut codes = Vec::with_capacity(values.len());
                let steps = values
                    .chunks_exact(width)
                    .map(|token| quantise_row(token, &mut codes));
                Values::Int8 {
                    steps: steps.collect(),
                    codes: codes.into(),
                }
            }
        };
        Ok(Tokens::of(stored, width, metric))
    }

    /// Takes tokens as [`Tokens::parts`] gave them; `None` where they are not sound.
    pub fn from_parts(values: Vec<f32>, width: usize, metric: Metric) -> Option<Tokens> {
        check_tokens(&values, width, &String::new).ok()?;
        Some(Tokens::of(Values::Float32(values.into()), width, metric))
    }

    /// As [`Tokens::from_parts`], for tokens of a byte a number.
    pub fn from_coded_parts(
        steps: Vec<f32>,
        codes: Vec<i8>,
        width: usize,
        metric: Metric,
    ) -> Option<Tokens> {
        // As wide as the lengths that are accepted, and what rounding may have added.
        let is_sound = |(token, step): (&[i8], &f32)| {
            let length = length(token.iter().map(|x| f64::from(*x))) * f64::from(*step);
            *step > 0.0 && (1e-16..=1e16).contains(&length)
        };
        let mut tokens = codes.chunks_exact(width).zip(&steps);
        let sound = tokens.all(is_sound) && !codes.contains(&i8::MIN);
        let (codes, steps) = (codes.into(), steps.into());
        sound.then(|| Tokens::of(Values::Int8 { codes, steps }, width, metric))
    }

    fn of(values: Values, width: usize, metric: Metric) -> Tokens {
        let factors = match (&values, metric) {
            (Values::Float32(values), Metric::Dot) => vec![1.0; values.len() / width].into(),
            (Values::Int8 { steps, .. }, Metric::Dot) => steps.clone(),
            (Values::Float32(values), Metric::Cosine) => {
                let inverse =
                    |token: &[f32]| (1.0 / length(token.iter().map(|x| f64::from(*x)))) as f32;
                values.chunks_exact(width).map(inverse).collect()
            }
            (Values::Int8 { codes, .. }, Metric::Cosine) => {
                let inverse =
                    |token: &[i8]| (1.0 / length(token.iter().map(|x| f64::from(*x)))) as f32;
                codes.chunks_exact(width).map(inverse).collect()
            }
        };
        Tokens { factors, values }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.factors.len()
    }

    /// What is stored: steps (none for plain numbers), and the numbers' bytes.
    pub fn parts(&self) -> (&[f32], &[u8]) {
        match &self.values {
            Values::Float32(values) => (&[], bytemuck::cast_slice(values)),
            Values::Int8 { codes, steps } => (steps, bytemuck::cast_slice(codes)),
        }
    }

    /// The numbers, `[T, width]`; those of bytes are the nearest that a byte can say.
    pub fn to_values(&self) -> Vec<f32> {
        match &self.values {
            Values::Float32(values) => values.to_vec(),
            Values::Int8 { codes, steps } => {
                let width = codes.len() / steps.len();
                let tokens = codes.chunks_exact(width).zip(steps);
                tokens
                    .flat_map(|(token, step)| token.iter().map(move |code| f32::from(*code) * step))
                    .collect()
            }
        }
    }

    /// Bytes taken from the allocator.
    pub fn n_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Float32(values) => values.len() * 4,
            Values::Int8 { codes, steps } => codes.len() + steps.len() * 4,
        };
        values + self.factors.len() * 4
    }
}

impl TokenQuery {
    /// Takes the tokens of a query, `[T, width]` with `T >= 1`.
    ///
    /// Fails when a token is not finite or has no direction.
    pub fn new(
        values: &[f32],
        width: usize,
        storage: TokenStorage,
        metric: Metric,
    ) -> Result<TokenQuery, Error> {
        let norms = check_tokens(values, width, &|| {
            "the multi-vector of the query".to_owned()
        })?;
        let mut factors: Vec<f32> = match metric {
            Metric::Dot => vec![1.0; norms.len()],
            Metric::Cosine => norms.iter().map(|norm| (1.0 / norm) as f32).collect(),
        };
        let values = match storage {
            TokenStorage::Float32 => QueryValues::Float32(values.to_vec()),
            TokenStorage::Int8 => {
                let mut codes = Vec::with_capacity(values.len());
                for (token, factor) in values.chunks_exact(width).zip(&mut factors) {
                    let (token, step) = quantise_query(token);
                    codes.extend(token);
                    *factor *= step;
                }
                QueryValues::Int8(codes)
            }
        };
        Ok(TokenQuery {
            width,
            values,
            factors,
        })
    }

    /// MaxSim with an item.
    ///
    /// - `best`: memory for a number for each token of the query
    pub fn max_sim(&self, kernels: Kernels, item: &Tokens, best: &mut Vec<f32>) -> f32 {
        best.clear();
        best.resize(self.factors.len(), f32::NEG_INFINITY);
        self.best(kernels, item, best);
        let sum: f64 = best
            .iter()
            .zip(&self.factors)
            .map(|(best, factor)| f64::from(best * factor))
            .sum();
        sum as f32
    }

    /// The likeness of each token of the query to each of an item, `[T of the query, T of the item]`.
    pub fn likeness(&self, item: &Tokens) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.factors.len() * item.len());
        for (q, query_factor) in self.factors.iter().enumerate() {
            let of_query = q * self.width..(q + 1) * self.width;
            for (t, factor) in item.factors.iter().enumerate() {
                let of_item = t * self.width..(t + 1) * self.width;
                let dot = match (&self.values, &item.values) {
                    (QueryValues::Float32(query), Values::Float32(item)) => {
                        let pairs = query[of_query.clone()].iter().zip(&item[of_item]);
                        pairs.map(|(q, x)| q * x).sum::<f32>()
                    }
                    (QueryValues::Int8(query), Values::Int8 { codes, .. }) => {
                        let pairs = query[of_query.clone()].iter().zip(&codes[of_item]);
                        pairs
                            .map(|(q, x)| i32::from(*q) * i32::from(*x))
                            .sum::<i32>() as f32
                    }
                    // An index stores all its tokens in one way.
                    _ => 0.0,
                };
                all.push(dot * factor * query_factor);
            }
        }
        all
    }

    fn best(&self, kernels: Kernels, item: &Tokens, best: &mut [f32]) {
        match (&self.values, &item.values) {
            (QueryValues::Float32(query), Values::Float32(tokens)) => {
                kernels.best_f32(self.width, query, tokens, &item.factors, best);
            }
            (QueryValues::Int8(query), Values::Int8 { codes, .. }) => {
                kernels.best_i8(self.width, query, codes, &item.factors, best);
            }
            _ => {}
        }
    }
}

/// The mean of the tokens' directions, which stands for the item where it has no other vector.
///
/// Tokens may cancel each other out; then their mean has no direction, and the first token stands
/// for the item.
pub fn mean_direction(values: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0f64; width];
    for token in values.chunks_exact(width) {
        let inverse = 1.0 / length(token.iter().map(|x| f64::from(*x)));
        for (mean, x) in mean.iter_mut().zip(token) {
            *mean += f64::from(*x) * inverse;
        }
    }
    let norm = length(mean.iter().copied());
    if norm < 1e-6 {
        return values[..width].to_vec();
    }
    mean.iter().map(|x| (x / norm) as f32).collect()
}

/// The lengths of the tokens.
fn check_tokens(
    values: &[f32],
    width: usize,
    what: &dyn Fn() -> String,
) -> Result<Vec<f64>, Error> {
    let tokens = values.chunks_exact(width);
    if values.is_empty() || !tokens.remainder().is_empty() {
        let (needed, found) = (width as u64, values.len() as u64);
        return Err(Error::Dimensions {
            what: format!("each token of {}", what()),
            needed,
            found,
        });
    }
    let norm = |(token, values)| checked_norm(values, || format!("token {token} of {}", what()));
    tokens.enumerate().map(norm).collect()
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}
