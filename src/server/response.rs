//! The body of an answer: `EmbeddingResponse` of Jina's OpenAPI file.
//!
//! | `embedding_type` | a vector is |
//! | --- | --- |
//! | `float` | a list of numbers |
//! | `base64` | a string: its f32 in little-endian order |
//! | `ubinary` | a list of bytes 0..=255, eight signs each, the first in the highest bit, set for > 0 (`numpy.packbits`) |
//! | `binary` | the same bytes less 128, as -128..=127 |
//!
//! The file says "a base64 string for other encodings" of the last two; Jina's clients (LangChain,
//! LlamaIndex) read lists of integers, so that is what is sent. A list of several types, whose
//! answer the file does not describe, makes each vector an object with the types as keys.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::engine::Output;
use crate::pooling;

/// How the numbers of a vector are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Float,
    Base64,
    Binary,
    Ubinary,
}

impl Encoding {
    pub const ALL: [Encoding; 4] = [
        Encoding::Float,
        Encoding::Base64,
        Encoding::Binary,
        Encoding::Ubinary,
    ];

    /// The name in `embedding_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Float => "float",
            Encoding::Base64 => "base64",
            Encoding::Binary => "binary",
            Encoding::Ubinary => "ubinary",
        }
    }

    pub fn of_name(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// The encodings of a request, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encodings(Vec<Encoding>);

impl Encodings {
    /// An empty list is the default.
    pub fn new(encodings: Vec<Encoding>) -> Encodings {
        let mut found = Encodings(Vec::with_capacity(Encoding::ALL.len()));
        for encoding in encodings {
            if !found.0.contains(&encoding) {
                found.0.push(encoding);
            }
        }
        match found.0.is_empty() {
            true => Encodings::default(),
            false => found,
        }
    }
}

impl Default for Encodings {
    fn default() -> Encodings {
        Encodings(vec![Encoding::Float])
    }
}

/// An answer with all its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Name of the model.
    pub model: String,
    pub outputs: Vec<Output>,
    pub multivector: bool,
    /// Length to cut single vectors to.
    pub dimensions: Option<usize>,
    pub encodings: Encodings,
}

impl Response {
    /// Tokens that were computed for it.
    pub fn n_tokens(&self) -> usize {
        self.outputs.iter().map(|output| output.n_tokens).sum()
    }

    /// The JSON text.
    ///
    /// Fails on nothing but a defect of the serialiser.
    pub fn into_json(mut self) -> Result<Vec<u8>, serde_json::Error> {
        if let (Some(dimensions), false) = (self.dimensions, self.multivector) {
            for output in &mut self.outputs {
                if dimensions < output.dimensions {
                    output.values =
                        pooling::truncate(std::mem::take(&mut output.values), dimensions);
                    output.dimensions = dimensions;
                }
            }
        }
        let n_tokens = self.n_tokens();
        let encodings = &self.encodings.0;
        let items = self.outputs.iter().enumerate().map(|(index, output)| {
            let (object, single, multi) = match self.multivector {
                false => ("embedding", Some(Single { output, encodings }), None),
                true => ("embeddings", None, Some(Multi { output, encodings })),
            };
            Item {
                object,
                index,
                embedding: single,
                embeddings: multi,
                tokenized_input: output.tokens.as_deref(),
            }
        });
        serde_json::to_vec(&Body {
            model: &self.model,
            object: "list",
            usage: Usage {
                total_tokens: n_tokens,
                prompt_tokens: n_tokens,
            },
            data: items.collect(),
        })
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    object: &'a str,
    usage: Usage,
    data: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Usage {
    total_tokens: usize,
    prompt_tokens: usize,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Single<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embeddings: Option<Multi<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenized_input: Option<&'a [String]>,
}

/// One vector in every encoding that was asked for.
struct Single<'a> {
    output: &'a Output,
    encodings: &'a [Encoding],
}

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        by_encoding(self.encodings, serializer, |encoding| Vector {
            values: &self.output.values,
            encoding,
        })
    }
}

/// The vectors of an input in every encoding that was asked for.
struct Multi<'a> {
    output: &'a Output,
    encodings: &'a [Encoding],
}

impl Serialize for Multi<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.output.values.chunks(self.output.dimensions.max(1));
        by_encoding(self.encodings, serializer, |encoding| -> Vec<Vector<'_>> {
            let row = |values| Vector { values, encoding };
            rows.clone().map(row).collect()
        })
    }
}

fn by_encoding<S: Serializer, T: Serialize>(
    encodings: &[Encoding],
    serializer: S,
    form: impl Fn(Encoding) -> T,
) -> Result<S::Ok, S::Error> {
    if let [encoding] = encodings {
        return form(*encoding).serialize(serializer);
    }
    let mut map = serializer.serialize_map(Some(encodings.len()))?;
    for encoding in encodings {
        map.serialize_entry(encoding.as_str(), &form(*encoding))?;
    }
    map.end()
}

struct Vector<'a> {
    values: &'a [f32],
    encoding: Encoding,
}

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.encoding {
            Encoding::Float => self.values.serialize(serializer),
            Encoding::Base64 => {
                let bytes = self.values.iter().flat_map(|value| value.to_le_bytes());
                serializer.serialize_str(&BASE64_STANDARD.encode(bytes.collect::<Vec<u8>>()))
            }
            Encoding::Ubinary => list(serializer, self.values.chunks(8).map(signs)),
            Encoding::Binary => {
                let signed = |eight| i16::from(signs(eight)) - 128;
                list(serializer, self.values.chunks(8).map(signed))
            }
        }
    }
}

fn list<S: Serializer, T: Serialize>(
    serializer: S,
    items: impl ExactSizeIterator<Item = T>,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(items.len()))?;
    for item in items {
        list.serialize_element(&item)?;
    }
    list.end()
}

/// The signs of up to eight numbers, the first in the highest bit; the rest of the byte is zero.
fn signs(values: &[f32]) -> u8 {
    let bits = values.iter().zip((0..8).rev());
    bits.fold(0, |byte, (value, bit)| {
        byte | (u8::from(*value > 0.0) << bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(values: &[f32], rows: usize, encodings: Vec<Encoding>) -> Value {
        let response = Response {
            model: "m".into(),
            outputs: vec![Output {
                values: values.to_vec(),
                dimensions: values.len() / rows,
                n_tokens: 7,
                tokens: None,
            }],
            multivector: rows > 1,
            dimensions: None,
            encodings: Encodings::new(encodings),
        };
        serde_json::from_slice(&response.into_json().unwrap()).unwrap()
    }

    #[test]
    fn a_single_vector_is_written_as_the_openapi_file_says() {
        assert_eq!(
            answer(&[0.6, -0.8], 1, vec![]),
            json!({
                "model": "m",
                "object": "list",
                "usage": {"total_tokens": 7, "prompt_tokens": 7},
                "data": [{"object": "embedding", "index": 0, "embedding": [0.6, -0.8]}],
            })
        );
    }

    #[test]
    fn floats_come_back_to_the_bit() {
        let values = [f32::MIN_POSITIVE, 1.0 / 3.0, -0.1, 1e-38, 0.024_013_5];
        let found = answer(&values, 1, vec![Encoding::Float]);
        let numbers = found["data"][0]["embedding"].as_array().unwrap();
        let numbers: Vec<f32> = numbers
            .iter()
            .map(|it| it.as_f64().unwrap() as f32)
            .collect();
        assert_eq!(numbers, values);
        // [1.0, -2.0] in little-endian order.
        let found = answer(&[1.0, -2.0], 1, vec![Encoding::Base64]);
        assert_eq!(found["data"][0]["embedding"], "AACAPwAAAMA=");
    }

    #[test]
    fn signs_are_packed_as_numpy_packs_them() {
        // numpy.packbits([1,0,0,1,0,0,0,1, 0,1]) == [145, 64]
        let values = [1.0, -1.0, 0.0, 0.1, -0.0, -3.0, -1.0, 2.0, -1.0, 1e-9];
        let found = answer(&values, 1, vec![Encoding::Ubinary]);
        assert_eq!(found["data"][0]["embedding"], json!([145, 64]));
        let found = answer(&values, 1, vec![Encoding::Binary]);
        assert_eq!(found["data"][0]["embedding"], json!([17, -64]));
    }

    #[test]
    fn several_types_are_the_keys_of_an_object_and_one_in_a_list_is_that_one() {
        let found = answer(&[1.0, -2.0], 1, vec![Encoding::Base64, Encoding::Ubinary]);
        let needed = json!({"base64": "AACAPwAAAMA=", "ubinary": [128]});
        assert_eq!(found["data"][0]["embedding"], needed);
        let twice = answer(&[1.0, -2.0], 1, vec![Encoding::Float, Encoding::Float]);
        assert_eq!(twice["data"][0]["embedding"], json!([1.0, -2.0]));
    }

    #[test]
    fn a_multi_vector_has_a_row_per_token_in_every_type() {
        let found = answer(&[1.0, 0.0, -2.0, 1.0], 2, vec![Encoding::Float]);
        let needed =
            json!([{"object": "embeddings", "index": 0, "embeddings": [[1.0, 0.0], [-2.0, 1.0]]}]);
        assert_eq!(found["data"], needed);
        let both = answer(
            &[1.0, 0.0, -2.0, 1.0],
            2,
            vec![Encoding::Float, Encoding::Ubinary],
        );
        let needed = json!({"float": [[1.0, 0.0], [-2.0, 1.0]], "ubinary": [[128], [64]]});
        assert_eq!(both["data"][0]["embeddings"], needed);
    }

    #[test]
    fn a_cut_vector_has_length_one_again() {
        let response = Response {
            model: "m".into(),
            outputs: vec![Output {
                values: vec![3.0, 4.0, 12.0],
                dimensions: 3,
                ..Output::default()
            }],
            multivector: false,
            dimensions: Some(2),
            encodings: Encodings::default(),
        };
        let found: Value = serde_json::from_slice(&response.into_json().unwrap()).unwrap();
        assert_eq!(found["data"][0]["embedding"], json!([0.6, 0.8]));
    }
}
