//! What others have printed of the real model, and whether these weights give the same.
//!
//! `published_checks.json` names its sources. Its figures apply to the published weights alone.
//! Those are told by the names and shapes of the text model's tensors, its sizes and its vocabulary,
//! not by what the model is called; weights that share all of these and are others fail the checks.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::self_tests::encode_one;
use crate::gguf::Header;
use crate::self_test::cosine;
use crate::text::{Prompt, Task, TaskPrompt};
use crate::{Code, Embedder, Error, Input, Result};

const CHECKS: &str = include_str!("published_checks.json");

/// How far a figure may lie from the published one: the noise of bf16, in which it was computed.
pub const TOLERANCE: f64 = 0.003;

/// SHA-256 of the names and shapes of the 434 tensors, and of the sizes.
const SHAPES: &str = "f7d51e5a90cd3b3ca7fb61eb5ec92621b9d5b5917355960e12409e5b0d04fd7f";
/// SHA-256 of the 151,665 tokens and of the merges.
const VOCABULARY: &str = "c4570261d6d8530d7bad79bf50ff0c2bb7726068394bcbc996daa3e0a32f8daa";

/// Tokens with a meaning; the rows of the embedding after them are padding, however they are named.
const N_TOKENS: usize = 151_665;

/// A figure beside the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub name: String,
    pub published: f64,
    pub found: f64,
}

impl Figure {
    /// Whether it is as published but for the noise.
    pub fn is_within(&self) -> bool {
        (self.found - self.published).abs() <= TOLERANCE
    }
}

/// The figures that need no data set.
#[derive(Debug)]
pub struct Figures {
    pub figures: Vec<Figure>,
    /// Whether each query finds the document that it found when the figures were published.
    pub best_documents_agree: bool,
}

/// Published figures that need a data set, and so are not computed here.
pub const NEED_DATA: [&str; 3] = ["BIOSSES", "STSBenchmark (test)", "NFCorpus (test)"];

#[derive(Deserialize)]
struct Checks {
    code_matrix: CodeMatrix,
    first_values: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct CodeMatrix {
    queries: Vec<String>,
    docs: Vec<String>,
    cosine: Vec<Vec<f64>>,
}

/// Why the figures do not apply to these files; `None` where they do.
///
/// - `text`: headers of the text model's parts
pub fn why_not(text: &[Header], embedder: &Embedder) -> Option<String> {
    if shapes_digest(text) != SHAPES {
        let n_tensors: usize = text.iter().map(|part| part.tensors.len()).sum();
        return Some(format!(
            "the names, shapes and sizes of this text model ({n_tensors} tensors) are not those of jina-embeddings-v4 (434)"
        ));
    }
    if vocabulary_digest(text) != VOCABULARY {
        return Some("the vocabulary is not that of jina-embeddings-v4".to_owned());
    }
    match embedder.tasks().any(|task| task == Task::Retrieval) {
        true => None,
        false => {
            Some("they were computed for the task retrieval, which these files lack".to_owned())
        }
    }
}

/// Names and shapes of all tensors but the vocabulary head, sorted, and the sizes that the
/// computation depends on.
fn shapes_digest(text: &[Header]) -> String {
    let mut lines: Vec<String> = text
        .iter()
        .flat_map(|part| &part.tensors)
        .filter(|tensor| tensor.name != "output.weight")
        .map(|tensor| format!("{} {:?}", tensor.name, tensor.shape))
        .collect();
    lines.sort();
    let metadata = text.first().map(|part| &part.metadata);
    for key in [
        "qwen2vl.block_count",
        "qwen2vl.attention.head_count",
        "qwen2vl.attention.head_count_kv",
    ] {
        let value = metadata.and_then(|metadata| metadata.u32(key).ok());
        lines.push(format!("{key} {value:?}"));
    }
    let sections = metadata.and_then(|it| it.u32s("qwen2vl.rope.dimension_sections").ok());
    lines.push(format!("{sections:?}"));
    for key in [
        "qwen2vl.rope.freq_base",
        "qwen2vl.attention.layer_norm_rms_epsilon",
    ] {
        let value = metadata.and_then(|metadata| metadata.f32(key).ok());
        lines.push(format!("{key} {value:?}"));
    }
    digest(lines.iter().map(String::as_str))
}

fn vocabulary_digest(text: &[Header]) -> String {
    let Some(metadata) = text.first().map(|part| &part.metadata) else {
        return String::new();
    };
    let strings = |key: &str| metadata.strs(key).ok();
    let tokens = strings("tokenizer.ggml.tokens");
    let merges = strings("tokenizer.ggml.merges");
    let tokens = tokens
        .iter()
        .flat_map(|tokens| tokens.iter())
        .take(N_TOKENS);
    digest(tokens.chain(merges.iter().flat_map(|merges| merges.iter())))
}

fn digest<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computes each figure that needs no data set.
///
/// - `on_done`: called with the number of texts done and their total
///
/// Fails if the device does.
pub fn compute(embedder: &Embedder, mut on_done: impl FnMut(usize, usize)) -> Result<Figures> {
    let broken = |error: serde_json::Error| Error::Device {
        code: Code::Internal,
        message: format!("published_checks.json: {error}"),
    };
    let checks: Checks = serde_json::from_str(CHECKS).map_err(broken)?;
    let CodeMatrix {
        queries,
        docs,
        cosine: published,
    } = checks.code_matrix;
    let n_texts = queries.len() + docs.len() + 1;
    let mut n_done = 0;
    let mut vector = |text: &str| -> Result<Vec<f32>> {
        // Both sides of the published matrix are queries.
        let task = TaskPrompt::new(Task::Retrieval, Prompt::Query);
        let found = encode_one(embedder, task, Input::Text(text.to_owned()))?;
        n_done += 1;
        on_done(n_done, n_texts);
        Ok(found.values)
    };
    let query_vectors = queries
        .iter()
        .map(|text| vector(text))
        .collect::<Result<Vec<_>>>()?;
    let doc_vectors = docs
        .iter()
        .map(|text| vector(text))
        .collect::<Result<Vec<_>>>()?;
    let mut figures = Vec::new();
    let mut best_documents_agree = true;
    for (q, (query, published)) in query_vectors.iter().zip(&published).enumerate() {
        let found: Vec<f64> = doc_vectors.iter().map(|doc| cosine(query, doc)).collect();
        best_documents_agree &= best(&found) == best(published);
        for (d, (found, published)) in found.iter().zip(published).enumerate() {
            figures.push(Figure {
                name: format!("cosine of query {} and document {}", q + 1, d + 1),
                published: *published,
                found: *found,
            });
        }
    }
    let last = checks.first_values.get("last3").and_then(numbers);
    let last = last.unwrap_or_default();
    for (key, value) in &checks.first_values {
        let Some((text, "retrieval|query|first3")) = key.split_once('|') else {
            continue;
        };
        let found = vector(text)?;
        let from_end = found.len().saturating_sub(last.len());
        let first = numbers(value).unwrap_or_default();
        let first = first.iter().enumerate();
        let last = last
            .iter()
            .enumerate()
            .map(|(i, value)| (from_end + i, value));
        for (at, published) in first.chain(last) {
            figures.push(Figure {
                name: format!("number {} of {text:?}", at + 1),
                published: *published,
                found: found.get(at).map_or(f64::NAN, |value| f64::from(*value)),
            });
        }
    }
    Ok(Figures {
        figures,
        best_documents_agree,
    })
}

fn numbers(value: &serde_json::Value) -> Option<Vec<f64>> {
    let list = value.as_array()?.iter();
    list.map(serde_json::Value::as_f64).collect()
}

/// The place of the largest.
fn best(cosines: &[f64]) -> Option<usize> {
    let with_places = cosines.iter().enumerate();
    with_places
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Metadata, Parsed, TensorSpec, TensorType, Writer};

    /// A header with every name, shape and size that is published, its tensors in `tensor_type`.
    fn published_header(n_layers: usize, tensor_type: TensorType) -> Header {
        let (hidden, mlp, kv) = (2048, 11008, 256);
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let tensor_type = match shape {
                [_] => TensorType::F32,
                _ => tensor_type,
            };
            let shape = shape.to_vec();
            specs.push(TensorSpec {
                name,
                shape,
                tensor_type,
            });
        };
        add("token_embd.weight".to_owned(), &[151_936, hidden]);
        for layer in 0..n_layers {
            for (part, shape) in [
                ("attn_norm.weight", &[hidden][..]),
                ("attn_q.weight", &[hidden, hidden]),
                ("attn_q.bias", &[hidden]),
                ("attn_k.weight", &[kv, hidden]),
                ("attn_k.bias", &[kv]),
                ("attn_v.weight", &[kv, hidden]),
                ("attn_v.bias", &[kv]),
                ("attn_output.weight", &[hidden, hidden]),
                ("ffn_norm.weight", &[hidden]),
                ("ffn_gate.weight", &[mlp, hidden]),
                ("ffn_up.weight", &[mlp, hidden]),
                ("ffn_down.weight", &[hidden, mlp]),
            ] {
                add(format!("blk.{layer}.{part}"), shape);
            }
        }
        add("output_norm.weight".to_owned(), &[hidden]);
        let mut metadata = Metadata::new();
        for (key, value) in [
            ("qwen2vl.block_count", 36_u32),
            ("qwen2vl.attention.head_count", 16),
            ("qwen2vl.attention.head_count_kv", 2),
        ] {
            metadata.insert(key, value).unwrap();
        }
        let sections = vec![16_i32, 24, 24, 0];
        metadata
            .insert("qwen2vl.rope.dimension_sections", sections)
            .unwrap();
        metadata.insert("qwen2vl.rope.freq_base", 1e6_f32).unwrap();
        metadata
            .insert("qwen2vl.attention.layer_norm_rms_epsilon", 1e-6_f32)
            .unwrap();
        let writer = Writer::new(&metadata, &specs).unwrap();
        match Header::parse(writer.header(), Some(writer.n_bytes())).unwrap() {
            Parsed::Complete(header) => header,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_published_names_and_shapes_are_known_in_any_type_and_any_number_of_parts() {
        for tensor_type in [TensorType::BF16, TensorType::Q4_K] {
            let whole = published_header(36, tensor_type);
            assert_eq!(whole.tensors.len(), 434);
            let (mut first, mut second) = (whole.clone(), whole.clone());
            first.tensors.truncate(100);
            second.tensors.drain(..100);
            assert_eq!(shapes_digest(&[whole]), SHAPES);
            assert_eq!(shapes_digest(&[first, second]), SHAPES);
        }
    }

    #[test]
    fn a_model_of_other_shapes_is_not_taken_for_the_published_one() {
        let fewer = published_header(35, TensorType::F16);
        assert_ne!(shapes_digest(&[fewer]), SHAPES);
        let mut wider = published_header(36, TensorType::F16);
        wider.tensors[5].shape[0] += 1;
        assert_ne!(shapes_digest(&[wider]), SHAPES);
    }

    #[test]
    fn the_figures_that_are_kept_are_a_matrix_and_six_numbers() {
        let checks: Checks = serde_json::from_str(CHECKS).unwrap();
        let matrix = &checks.code_matrix;
        assert_eq!((matrix.queries.len(), matrix.docs.len()), (4, 3));
        assert!(matrix.cosine.iter().all(|row| row.len() == 3));
        assert_eq!(matrix.cosine.len(), 4);
        let lists: Vec<_> = checks.first_values.values().filter_map(numbers).collect();
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    }
}
