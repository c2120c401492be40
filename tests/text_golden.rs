//! The text path against the reference's own ids: prompts, tokens, truncation, late chunking.

use std::path::Path;

use jina_embeddings_web::Code;
use jina_embeddings_web::gguf::{Array, Header, Metadata, Parsed, Value};
use jina_embeddings_web::text::late_chunking::Document;
use jina_embeddings_web::text::{Error, Prompt, Task, TaskPrompt, Tokenizer, prompt};
use serde::Deserialize;

#[path = "common/vocabulary.rs"]
mod vocabulary;

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Vec<u8> {
    let path = crate_dir().join("tests/fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tiny() -> Tokenizer {
    Tokenizer::from_tokenizer_json(&read("tiny/tokenizer.json")).unwrap()
}

/// The full vocabulary, from `tokenizer.json` and from a GGUF file's keys.
fn full() -> [Tokenizer; 2] {
    let json = vocabulary::full_json();
    let gguf = vocabulary::gguf_of(&json, 151_936);
    [
        Tokenizer::from_tokenizer_json(&json).unwrap(),
        Tokenizer::from_gguf(&gguf).unwrap(),
    ]
}

#[derive(Deserialize)]
struct Vector {
    text: String,
    ids: Vec<u32>,
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap().ids
}

fn assert_vectors(tokenizer: &Tokenizer, vectors: &[Vector]) {
    for Vector {
        text,
        ids: expected,
    } in vectors
    {
        assert_eq!(&ids(tokenizer, text), expected, "{text:?}");
    }
}

#[test]
fn ids_equal_the_reference_for_the_reduced_vocabulary() {
    let vectors: Vec<Vector> = serde_json::from_slice(&read("tiny/golden/tokenizer.json")).unwrap();
    assert_eq!(vectors.len(), 78);
    assert_vectors(&tiny(), &vectors);
}

#[test]
fn ids_equal_the_reference_for_the_full_vocabulary() {
    let vectors: Vec<Vector> =
        serde_json::from_slice(&read("tiny/golden/tokenizer_full_vocab.json")).unwrap();
    assert_eq!(vectors.len(), 78);
    #[derive(Deserialize)]
    struct Published {
        vectors: Vec<Vector>,
    }
    let published: Published = serde_json::from_slice(&read("tokenizer_vectors.json")).unwrap();
    assert!(!published.vectors.is_empty());

    for tokenizer in full() {
        assert_vectors(&tokenizer, &vectors);
        assert_vectors(&tokenizer, &published.vectors);

        // The special ids and the image prompt of the published model.
        let special = tokenizer.special_ids().unwrap();
        assert_eq!(
            (special.im_start, special.im_end, special.pad),
            (151_644, 151_645, 151_643)
        );
        assert_eq!(tokenizer.vocab_size(), 151_665);
        let image = prompt::image_prompt(&tokenizer, 2).unwrap();
        assert_eq!(
            image.ids,
            [
                151644, 872, 198, 151652, 151655, 151655, 151653, 74785, 279, 2168, 13, 151645, 198
            ]
        );
        assert_eq!((image.image_tokens, image.pooled), (4..6, 3..7));
    }
}

/// llama.cpp's own vectors for this vocabulary; it skips NFC, which none of these texts needs.
#[test]
fn ids_equal_llama_cpp_for_its_own_vectors() {
    let inputs = String::from_utf8(read("llama.cpp/ggml-vocab-qwen2.gguf.inp")).unwrap();
    let outputs = String::from_utf8(read("llama.cpp/ggml-vocab-qwen2.gguf.out")).unwrap();
    let tokenizers = full();
    let texts: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = outputs.lines().collect();
    assert!(
        texts.len() >= 46 && lines.len() >= 46,
        "{} texts, {} lines",
        texts.len(),
        lines.len()
    );
    for (text, line) in texts.iter().zip(&lines) {
        let expected: Vec<u32> = line
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        for tokenizer in &tokenizers {
            assert_eq!(ids(tokenizer, text), expected, "{text:?}");
        }
    }
}

#[derive(Deserialize)]
struct TextCase {
    id: String,
    text_id: String,
    task: String,
    prompt_name: String,
    full_text: String,
    input_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Truncated {
    text_id: String,
    max_length: usize,
    input_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Span {
    chunk: usize,
    token_start: usize,
    token_end: usize,
}

#[derive(Deserialize)]
struct LateChunking {
    chunks: Vec<String>,
    document: String,
    input_ids: Vec<u32>,
    /// In characters.
    offsets: Vec<(usize, usize)>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<TextCase>,
    truncation: Vec<Truncated>,
    late_chunking: LateChunking,
}

#[derive(Deserialize)]
struct Inputs {
    texts: std::collections::HashMap<String, String>,
}

fn golden() -> (Golden, Inputs) {
    let golden = serde_json::from_slice(&read("tiny/golden/text.json")).unwrap();
    (
        golden,
        serde_json::from_slice(&read("tiny/golden/inputs.json")).unwrap(),
    )
}

fn task_prompt(task: &str, prompt: &str) -> TaskPrompt {
    let prompt = if prompt == "passage" {
        Prompt::Passage
    } else {
        Prompt::Query
    };
    TaskPrompt::new(task.parse().unwrap(), prompt)
}

#[test]
fn prompts_and_ids_equal_the_reference_for_every_task() {
    let (golden, inputs) = golden();
    let tokenizer = tiny();
    assert_eq!(golden.cases.len(), 85);
    for case in golden.cases {
        let task_prompt = task_prompt(&case.task, &case.prompt_name);
        let text = prompt::full_text(task_prompt, &inputs.texts[&case.text_id]);
        assert_eq!(text, case.full_text, "{}", case.id);
        assert_eq!(ids(&tokenizer, &text), case.input_ids, "{}", case.id);
    }
}

#[test]
fn truncation_keeps_the_first_tokens_prefix_included() {
    let (golden, inputs) = golden();
    assert_eq!(golden.truncation.len(), 2);
    for case in golden.truncation {
        let text = prompt::full_text(
            task_prompt("retrieval", "passage"),
            &inputs.texts[&case.text_id],
        );
        let mut tokens = tiny().encode(&text).unwrap();
        tokens.truncate(case.max_length).unwrap();
        assert_eq!(tokens.ids, case.input_ids);
        assert_eq!(tokens.offsets.len(), case.max_length);
    }
}

#[test]
fn image_prompts_equal_the_reference() {
    #[derive(Deserialize)]
    struct ImageCase {
        n_image_tokens: usize,
        input_ids: Vec<u32>,
    }
    let cases: Vec<ImageCase> = serde_json::from_slice(&read("tiny/golden/image.json")).unwrap();
    let tokenizer = tiny();
    let special = tokenizer.special_ids().unwrap();
    for case in cases {
        let image = prompt::image_prompt(&tokenizer, case.n_image_tokens).unwrap();
        assert_eq!(image.ids, case.input_ids);
        assert!(
            image.ids[image.image_tokens.clone()]
                .iter()
                .all(|id| *id == special.image_pad)
        );
        assert_eq!(image.image_tokens.len(), case.n_image_tokens);
        assert_eq!(image.ids[image.pooled.start], special.vision_start);
        assert_eq!(image.ids[image.pooled.end - 1], special.vision_end);
    }
}

#[test]
fn late_chunking_spans_and_offsets_equal_the_reference() {
    let (
        Golden {
            late_chunking: golden,
            ..
        },
        _,
    ) = golden();
    let passage = TaskPrompt::new(Task::Retrieval, Prompt::Passage);
    let document = Document::new(passage, &golden.chunks).unwrap();
    assert_eq!(document.text(), format!("Passage: {}", golden.document));
    let tokens = tiny().encode(document.text()).unwrap();
    assert_eq!(tokens.ids, golden.input_ids);

    let text = document.text();
    let in_chars: Vec<(usize, usize)> = tokens
        .offsets
        .iter()
        .map(|(start, end)| (text[..*start].chars().count(), text[..*end].chars().count()))
        .collect();
    assert_eq!(in_chars, golden.offsets);

    let spans = document.token_spans(&tokens, prompt::MAX_LENGTH).unwrap();
    assert_eq!(spans.len(), golden.spans.len());
    for expected in golden.spans {
        assert_eq!(
            spans[expected.chunk],
            expected.token_start..expected.token_end
        );
    }
}

#[test]
fn ids_of_the_other_fixture_vocabulary_equal_the_reference() {
    let (_, inputs) = golden();
    for (tokenizer, reference) in [
        ("kquant/tokenizer.json", "kquant/ref_inputs.json"),
        ("tiny/tokenizer.json", "tiny_gguf/ref_inputs.json"),
    ] {
        let tokenizer = Tokenizer::from_tokenizer_json(&read(tokenizer)).unwrap();
        assert_reference_inputs(&tokenizer, &inputs, reference);
    }
}

fn assert_reference_inputs(tokenizer: &Tokenizer, inputs: &Inputs, reference: &str) {
    #[derive(Deserialize)]
    struct Case {
        id: String,
        input_ids: Vec<u32>,
    }
    let cases: Vec<Case> = serde_json::from_slice(&read(reference)).unwrap();
    let texts = cases.iter().filter_map(|case| {
        let (text_id, prompt) = case.id.split_once('|')?;
        Some((case, inputs.texts.get(text_id)?, prompt))
    });
    let mut n_compared = 0;
    for (case, text, prompt) in texts {
        let text = prompt::full_text(task_prompt("retrieval", prompt), text);
        assert_eq!(
            ids(tokenizer, &text),
            case.input_ids,
            "{reference} {}",
            case.id
        );
        n_compared += 1;
    }
    assert!(n_compared >= 30, "{reference}: {n_compared}");
}

fn gguf_metadata(path: &str) -> Metadata {
    match Header::parse(&read(path), None).unwrap() {
        Parsed::Complete(header) => header.metadata,
        Parsed::NeedMore { .. } => panic!("{path} is cut short"),
    }
}

#[test]
fn the_tokeniser_of_a_gguf_file_is_the_one_of_tokenizer_json() {
    let (_, inputs) = golden();
    let vectors: Vec<Vector> = serde_json::from_slice(&read("tiny/golden/tokenizer.json")).unwrap();
    for (gguf, json, reference) in [
        (
            "tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf",
            "tiny/tokenizer.json",
            "tiny_gguf/ref_inputs.json",
        ),
        (
            "kquant/tiny-jina-v4-c-retrieval-Q2_K.gguf",
            "kquant/tokenizer.json",
            "kquant/ref_inputs.json",
        ),
    ] {
        let from_gguf = Tokenizer::from_gguf(&gguf_metadata(gguf)).unwrap();
        let from_json = Tokenizer::from_tokenizer_json(&read(json)).unwrap();
        assert_reference_inputs(&from_gguf, &inputs, reference);
        assert_eq!(
            from_gguf.special_ids().unwrap(),
            from_json.special_ids().unwrap()
        );
        assert_eq!(from_gguf.vocab_size(), from_json.vocab_size());
        assert_eq!(from_gguf.token_id("[PAD4118]"), None);
        for text in inputs
            .texts
            .values()
            .chain(vectors.iter().map(|vector| &vector.text))
        {
            assert_eq!(
                from_gguf.encode(text).unwrap(),
                from_json.encode(text).unwrap(),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_gguf_tokeniser_of_another_kind_or_with_holes_is_refused_naming_the_key() {
    let whole = gguf_metadata("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    // Everything but one key, and something else in its place.
    let with = |key: &str, value: Option<Value>| {
        let mut metadata = Metadata::new();
        for (name, old) in whole.iter().filter(|(name, _)| *name != key) {
            metadata.insert(name, old.clone()).unwrap();
        }
        if let Some(value) = value {
            metadata.insert(key, value).unwrap();
        }
        Tokenizer::from_gguf(&metadata).unwrap_err()
    };
    for (key, value) in [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.pre", "llama-bpe"),
    ] {
        let error = with(key, Some(Value::String(value.to_owned())));
        assert_eq!(error.code(), Code::ModelUnsupported);
        assert!(
            error.to_string().contains(key) && error.to_string().contains(value),
            "{error}"
        );
    }
    for key in ["model", "pre", "tokens", "token_type", "merges"] {
        let key = format!("tokenizer.ggml.{key}");
        for error in [with(&key, None), with(&key, Some(Value::Bool(true)))] {
            assert_eq!(error.code(), Code::ModelInvalid);
            assert!(error.to_string().contains(&key), "{error}");
        }
    }

    let strings = |strings: &[&str]| Value::Array(Array::String(strings.iter().collect()));
    for (key, value, code) in [
        (
            "tokenizer.ggml.merges",
            strings(&["ab"]),
            Code::ModelInvalid,
        ),
        (
            "tokenizer.ggml.merges",
            strings(&["a nowhere"]),
            Code::ModelInvalid,
        ),
        (
            "tokenizer.ggml.tokens",
            strings(&["a", "b"]),
            Code::ModelInvalid,
        ),
        (
            "tokenizer.ggml.token_type",
            Value::Array(Array::I32(vec![1])),
            Code::ModelInvalid,
        ),
        (
            "tokenizer.ggml.token_type",
            Value::Array(Array::I32(vec![6; 4160])),
            Code::ModelUnsupported,
        ),
    ] {
        let error = with(key, Some(value));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("tokenizer.ggml."), "{error}");
    }
    let tokens = whole.strs("tokenizer.ggml.tokens").unwrap();
    let twice: Vec<&str> = tokens
        .iter()
        .enumerate()
        .map(|(at, t)| if at == 7 { "!" } else { t })
        .collect();
    let error = with("tokenizer.ggml.tokens", Some(strings(&twice)));
    assert!(
        matches!(
            error,
            Error::DuplicateToken {
                first: 0,
                second: 7,
                ..
            }
        ),
        "{error}"
    );
}
