//! `self-test.json`: inputs with the vectors that this model makes of them, kept beside the model
//! so that a device that computes wrongly is recognised before its vectors are used.
//!
//! `jina-embed verify DIR --write-self-test` computes the vectors on the processor; whoever loads
//! the model computes them again and compares. `model.json` names the file, its size and its hash
//! in `self_test`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::Code;
use crate::text::TaskPrompt;

/// The usual name of the file.
pub const FILE_NAME: &str = "self-test.json";

const FORMAT: &str = "jina-embeddings-web/self-test";
const FORMAT_VERSION: u32 = 1;

/// The content of `self-test.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTest {
    /// The space of the model whose vectors these are, as `model.json` has it.
    pub space: String,
    /// Program and device that computed them.
    pub computed_by: String,
    /// One text for each task, then a picture if the model takes any.
    pub cases: Vec<Case>,
}

/// One input and its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// A name for messages.
    pub name: String,
    pub task: TaskPrompt,
    pub input: CaseInput,
    /// Tokens that the decoder computes, prefix included.
    pub n_tokens: usize,
    /// The least cosine that passes.
    pub min_cosine: f64,
    /// The whole vector, of length one.
    pub embedding: Vec<f32>,
}

/// What a case embeds.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseInput {
    /// A text.
    Text(String),
    /// A PNG file.
    Image(Vec<u8>),
}

/// Why a `self-test.json` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON of this layout, or of another version.
    #[error("{FILE_NAME}: {reason}")]
    Invalid { reason: String },
    /// The vectors are those of other weights.
    #[error("{FILE_NAME} is of the space `{found}`, but the model is `{needed}`")]
    OtherSpace { needed: String, found: String },
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        Code::ModelInvalid
    }
}

/// How a computed vector fails a case.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The tokeniser or the preprocessing of pictures differs.
    #[error("self-test `{case}`: needed {needed} tokens, found {found}")]
    Tokens {
        case: String,
        needed: usize,
        found: usize,
    },
    /// The vector has another length.
    #[error("self-test `{case}`: needed a vector of {needed} numbers, found {found}")]
    Length {
        case: String,
        needed: usize,
        found: usize,
    },
    /// The vector points elsewhere, or holds a number that is not finite.
    #[error("self-test `{case}`: needed a cosine of at least {needed}, found {found}")]
    Cosine {
        case: String,
        needed: f64,
        found: f64,
    },
}

impl Case {
    /// Compares a vector computed for this case; returns the cosine.
    ///
    /// - `embedding`: the whole vector, of any length above zero
    /// - `n_tokens`: tokens that were computed
    ///
    /// Fails unless the counts are the case's and the cosine is at least `min_cosine`.
    pub fn check(&self, embedding: &[f32], n_tokens: usize) -> Result<f64, Mismatch> {
        let case = || self.name.clone();
        if n_tokens != self.n_tokens {
            return Err(Mismatch::Tokens {
                case: case(),
                needed: self.n_tokens,
                found: n_tokens,
            });
        }
        if embedding.len() != self.embedding.len() {
            return Err(Mismatch::Length {
                case: case(),
                needed: self.embedding.len(),
                found: embedding.len(),
            });
        }
        let found = cosine(embedding, &self.embedding);
        // Not a number is no pass either.
        match found >= self.min_cosine {
            true => Ok(found),
            false => Err(Mismatch::Cosine {
                case: case(),
                needed: self.min_cosine,
                found,
            }),
        }
    }
}

/// a · b / (|a| |b|), summed in f64; not a number where one of them is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

impl SelfTest {
    /// Reads the file.
    ///
    /// - `space`: that of the model, from `model.json`
    ///
    /// Fails if it is not JSON of this layout and version, if a case has no use (no vector, no
    /// input or two), or if the vectors are of another space.
    pub fn parse(json: &[u8], space: &str) -> Result<SelfTest, Error> {
        let invalid = |reason: String| Error::Invalid { reason };
        let stored: Stored =
            serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
        if stored.format != FORMAT || stored.format_version != FORMAT_VERSION {
            return Err(invalid(format!(
                "needed format {FORMAT:?} of version {FORMAT_VERSION}, found {:?} of version {}",
                stored.format, stored.format_version
            )));
        }
        if stored.space != space {
            return Err(Error::OtherSpace {
                needed: space.to_owned(),
                found: stored.space,
            });
        }
        if stored.cases.is_empty() {
            return Err(invalid("needed at least one case, found none".to_owned()));
        }
        let cases = stored.cases.into_iter().map(StoredCase::read);
        Ok(SelfTest {
            space: stored.space,
            computed_by: stored.computed_by,
            cases: cases.collect::<Result<_, _>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_json(&self) -> Vec<u8> {
        let stored = Stored {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            space: self.space.clone(),
            computed_by: self.computed_by.clone(),
            cases: self.cases.iter().map(StoredCase::of).collect(),
        };
        // Strings and numbers only: there is nothing in it that JSON cannot hold.
        let mut json = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: String,
    format_version: u32,
    space: String,
    computed_by: String,
    cases: Vec<StoredCase>,
}

#[derive(Serialize, Deserialize)]
struct StoredCase {
    name: String,
    task: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Base64 of a PNG file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    n_tokens: usize,
    min_cosine: f64,
    /// Base64 of f32, little-endian.
    embedding: String,
}

impl StoredCase {
    fn of(case: &Case) -> StoredCase {
        let (text, image) = match &case.input {
            CaseInput::Text(text) => (Some(text.clone()), None),
            CaseInput::Image(png) => (None, Some(STANDARD.encode(png))),
        };
        let embedding = case.embedding.iter().flat_map(|value| value.to_le_bytes());
        StoredCase {
            name: case.name.clone(),
            task: case.task.as_str().to_owned(),
            text,
            image,
            n_tokens: case.n_tokens,
            min_cosine: case.min_cosine,
            embedding: STANDARD.encode(embedding.collect::<Vec<_>>()),
        }
    }

    fn read(self) -> Result<Case, Error> {
        let StoredCase { name, .. } = &self;
        let invalid = |reason: String| Error::Invalid {
            reason: format!("case {name:?}: {reason}"),
        };
        let bytes = |field: &str, text: &str| {
            let bytes = STANDARD.decode(text);
            bytes.map_err(|error| invalid(format!("`{field}` is not base64: {error}")))
        };
        let task = self.task.parse();
        let task = task.map_err(|error: crate::text::Error| invalid(error.to_string()))?;
        let input = match (&self.text, &self.image) {
            (Some(text), None) => CaseInput::Text(text.clone()),
            (None, Some(image)) => CaseInput::Image(bytes("image", image)?),
            _ => return Err(invalid("needed either `text` or `image`".to_owned())),
        };
        let embedding = bytes("embedding", &self.embedding)?;
        let (values, rest) = embedding.as_chunks::<4>();
        let values: Vec<_> = values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if values.is_empty() || !rest.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return Err(invalid(format!(
                "`embedding` needs finite f32 numbers, found {} bytes",
                embedding.len()
            )));
        }
        if !(-1.0..=1.0).contains(&self.min_cosine) {
            return Err(invalid(format!(
                "`min_cosine` needs a number from -1 to 1, found {}",
                self.min_cosine
            )));
        }
        Ok(Case {
            task,
            input,
            n_tokens: self.n_tokens,
            min_cosine: self.min_cosine,
            embedding: values,
            name: self.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_test() -> SelfTest {
        let case = |name: &str, input| Case {
            name: name.to_owned(),
            task: "text-matching".parse().unwrap(),
            input,
            n_tokens: 7,
            min_cosine: 0.999,
            embedding: vec![0.6, 0.0, -0.8],
        };
        SelfTest {
            space: "a/q4_0/q8_0/0123".to_owned(),
            computed_by: "a test".to_owned(),
            cases: vec![
                case("text", CaseInput::Text("three bicycles".to_owned())),
                case("picture", CaseInput::Image(vec![0x89, b'P', 0, 255])),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let written = self_test();
        let read = SelfTest::parse(&written.to_json(), &written.space).unwrap();
        assert_eq!(read, written);
    }

    #[test]
    fn vectors_of_other_weights_are_refused() {
        let error = SelfTest::parse(&self_test().to_json(), "b/q4_0/q8_0/0123").unwrap_err();
        assert!(matches!(error, Error::OtherSpace { .. }), "{error}");
    }

    #[test]
    fn a_file_that_says_nothing_useful_is_refused_by_what_is_wrong_with_it() {
        let json = String::from_utf8(self_test().to_json()).unwrap();
        for (from, to, reason) in [
            (
                "\"format_version\": 1",
                "\"format_version\": 2",
                "version 2",
            ),
            ("text-matching", "sorting", "sorting"),
            (
                "\"text\": \"three bicycles\",",
                "",
                "either `text` or `image`",
            ),
            ("\"min_cosine\": 0.999", "\"min_cosine\": 1.5", "1.5"),
            ("\"embedding\": \"", "\"embedding\": \"AAAA", "finite f32"),
            ("\"embedding\": \"", "\"embedding\": \"*", "base64"),
        ] {
            let damaged = json.replacen(from, to, 1);
            assert_ne!(damaged, json, "{from}");
            let error = SelfTest::parse(damaged.as_bytes(), "a/q4_0/q8_0/0123").unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_vector_passes_by_its_direction_and_fails_with_a_reason() {
        let case = &self_test().cases[0];
        assert!(case.check(&[1.2, 0.0, -1.6], 7).unwrap() > 0.999_999);
        let tokens = case.check(&[0.6, 0.0, -0.8], 8).unwrap_err();
        assert!(matches!(
            tokens,
            Mismatch::Tokens {
                needed: 7,
                found: 8,
                ..
            }
        ));
        let length = case.check(&[0.6, 0.8], 7).unwrap_err();
        assert!(matches!(
            length,
            Mismatch::Length {
                needed: 3,
                found: 2,
                ..
            }
        ));
        for wrong in [[0.8, 0.0, -0.6], [f32::NAN, 0.0, -0.8], [0.0; 3]] {
            let cosine = case.check(&wrong, 7).unwrap_err();
            assert!(matches!(cosine, Mismatch::Cosine { .. }), "{wrong:?}");
        }
    }
}
