//! Texts and vocabularies at the edges: very long, very odd, or broken.

use std::path::Path;
use std::time::{Duration, Instant};

use jina_embeddings_web::Code;
use jina_embeddings_web::text::late_chunking::Document;
use jina_embeddings_web::text::{Error, Prompt, Task, TaskPrompt, Tokenizer, prompt};
use proptest::prelude::*;

#[path = "common/vocabulary.rs"]
mod vocabulary;

fn tiny_json() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/tokenizer.json");
    std::fs::read(path).unwrap()
}

/// As a model's file has it.
fn tiny() -> Tokenizer {
    Tokenizer::from_gguf(&vocabulary::gguf_of(&tiny_json(), 4160)).unwrap()
}

#[test]
fn texts_of_100_000_characters_take_seconds_at_most() {
    let tokenizer = tiny();
    let words = "The quick brown fox, 12 dogs;\n".repeat(3400);
    for (name, text) in [
        ("words", words.clone()),
        ("one letter", "a".repeat(100_000)),
        ("two letters", "ab".repeat(50_000)),
        ("digits", "1".repeat(100_000)),
        ("signs", "?".repeat(100_000)),
        ("blanks", " ".repeat(100_000)),
        ("blanks before a word", " ".repeat(100_000) + "x"),
        ("line ends", "\n".repeat(100_000)),
        ("line ends among blanks", " \n".repeat(50_000)),
        ("ideographs", "\u{4eac}".repeat(100_000)),
        ("emoji", "\u{1f426}".repeat(100_000)),
        (
            "combining marks",
            "a".to_owned() + &"\u{301}".repeat(100_000),
        ),
        ("special tokens", "<|im_start|>".repeat(8_400)),
        ("open brackets", "<|".repeat(50_000)),
    ] {
        let start = Instant::now();
        let tokens = tokenizer.encode(&text).unwrap();
        let took = start.elapsed();
        println!("{name}: {} tokens in {took:?}", tokens.len());
        assert!(!tokens.is_empty());
        // Measured well below one second each on an idle machine; a quadratic step would take minutes.
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        assert_eq!(tokens.offsets.last().unwrap().1, text.len(), "{name}");
    }
}

#[test]
fn long_runs_of_blanks_are_cut_as_short_ones_are_or_refused() {
    let tokenizer = tiny();
    // A run and a word behind it: the last blank belongs to the word, which shows that the
    // regular expression did not give up.
    let expected = tokenizer.encode(" word and more").unwrap();
    for n in [10, 1_000, 199_990] {
        let text = " ".repeat(n) + " word and more";
        let tokens = tokenizer.encode(&text).unwrap();
        assert!(tokens.ids.ends_with(&expected.ids), "{n}");
    }
    let text = " ".repeat(200_001);
    let error = tokenizer.encode(&text).unwrap_err();
    assert!(
        matches!(error, Error::BlankRunTooLong { found: 200_001, .. }),
        "{error}"
    );
    assert_eq!(error.code(), Code::InputInvalid);
}

#[test]
fn special_tokens_in_a_text_are_atomic_and_their_lookalikes_are_not() {
    let tokenizer = tiny();
    let special = tokenizer.special_ids().unwrap();
    let tokens = tokenizer.encode("a<|vision_start|>b").unwrap();
    assert_eq!(tokens.ids[1], special.vision_start);
    assert_eq!(tokens.offsets[1], (1, 17));
    assert!(
        !tokenizer
            .encode("a<|VISION_START|>b")
            .unwrap()
            .ids
            .contains(&special.vision_start)
    );
}

#[test]
fn offsets_are_bytes_of_the_given_text_even_where_nfc_changes_it() {
    let text = "cafe\u{301} x";
    let tokens = tiny().encode(text).unwrap();
    assert_eq!(tokens.offsets.last().unwrap().1, text.len());
    assert_eq!(tokens.ids, tiny().encode("caf\u{e9} x").unwrap().ids);
}

#[test]
fn task_names_are_read_and_written() {
    for (name, expected) in [
        ("retrieval", "retrieval.query"),
        ("retrieval.query", "retrieval.query"),
        ("retrieval.passage", "retrieval.passage"),
        ("text-matching", "text-matching"),
        ("code", "code.query"),
        ("code.query", "code.query"),
        ("code.passage", "code.passage"),
    ] {
        assert_eq!(name.parse::<TaskPrompt>().unwrap().as_str(), expected);
    }
    let error = "classification".parse::<TaskPrompt>().unwrap_err();
    assert_eq!(error.code(), Code::InputInvalid);
    assert_eq!(
        error.to_string(),
        "`classification` is no task; the tasks are retrieval.query, retrieval.passage, \
         text-matching, code.query, code.passage"
    );
}

#[test]
fn text_matching_is_always_a_query() {
    let task_prompt = TaskPrompt::new(Task::TextMatching, Prompt::Passage);
    assert_eq!(prompt::full_text(task_prompt, "x"), "Query: x");
}

#[test]
fn max_length_zero_is_refused() {
    let mut tokens = tiny().encode("some text").unwrap();
    assert!(matches!(
        tokens.truncate(0),
        Err(Error::MaxLength { found: 0 })
    ));
}

fn spans(chunks: &[&str], max_length: usize) -> Result<Vec<std::ops::Range<usize>>, Error> {
    let document = Document::new(TaskPrompt::new(Task::Retrieval, Prompt::Passage), chunks)?;
    let tokens = tiny().encode(document.text())?;
    document.token_spans(&tokens, max_length)
}

#[test]
fn chunks_without_tokens_and_chunks_past_the_end_are_named() {
    assert!(matches!(spans(&[], 99), Err(Error::NoChunks)));
    for chunks in [["", "b c", "d"], ["b c", "", "d"], ["b c", "d", ""]] {
        let empty = chunks.iter().position(|chunk| chunk.is_empty()).unwrap();
        let error = spans(&chunks, 99).unwrap_err();
        assert!(
            matches!(error, Error::EmptyChunk { chunk, n_chunks: 3, n_bytes: 0 } if chunk == empty),
            "{error}"
        );
    }
    let whole = spans(&["one two", " three", " four"], 99).unwrap();
    let second = whole[1].clone();
    let error = spans(&["one two", " three", " four"], second.end).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ChunkPastEnd {
                chunk: 2,
                n_chunks: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), Code::InputInvalid);
    // A chunk that truncation cuts keeps what is left of it.
    assert_eq!(
        spans(&["one two three"], whole[0].start + 1).unwrap()[0].len(),
        1
    );
}

#[test]
fn tokeniser_files_that_are_broken_or_of_another_kind_are_refused() {
    for json in [&b""[..], b"{}", b"[1]", b"not json", b"\xff\xfe"] {
        let error = Tokenizer::from_tokenizer_json(json).unwrap_err();
        assert_eq!(error.code(), Code::ModelInvalid, "{error}");
    }
    let word_level =
        br#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    let error = Tokenizer::from_tokenizer_json(word_level).unwrap_err();
    assert_eq!(error.code(), Code::ModelUnsupported, "{error}");
    assert!(error.to_string().contains("model.type"), "{error}");
}

#[test]
fn a_vocabulary_without_special_tokens_is_named_when_they_are_needed() {
    let mut json: serde_json::Value = serde_json::from_slice(&tiny_json()).unwrap();
    json["added_tokens"]
        .as_array_mut()
        .unwrap()
        .retain(|token| token["content"] != "<|vision_end|>");
    let tokenizer = Tokenizer::from_tokenizer_json(json.to_string().as_bytes()).unwrap();
    let error = prompt::image_prompt(&tokenizer, 4).unwrap_err();
    assert!(
        matches!(
            error,
            Error::MissingToken {
                token: "<|vision_end|>"
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), Code::ModelInvalid);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_text_is_tokenised_with_offsets_that_cover_it_in_order(text in ".{0,200}") {
        let tokenizer = tiny();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokens.ids.len(), tokens.offsets.len());
        prop_assert_eq!(tokens.is_empty(), text.is_empty());
        let mut last = (0, 0);
        for offset in tokens.offsets {
            prop_assert!(offset.0 >= last.0 && offset.1 >= last.1 && offset.0 <= offset.1);
            prop_assert!(text.get(offset.0..offset.1).is_some());
            last = offset;
        }
        prop_assert!(tokens.ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
    }

    #[test]
    fn any_text_has_the_tokens_that_the_library_finds(
        text in prop_oneof![".{0,200}", "[a-e]{0,400}", "[\\u{80}-\\u{3000} th\\n]{0,100}"],
    ) {
        let library = Tokenizer::from_tokenizer_json(&tiny_json()).unwrap();
        prop_assert_eq!(tiny().encode(&text).unwrap(), library.encode(&text).unwrap());
    }

    #[test]
    fn chunk_spans_are_adjacent_and_leave_only_the_prefix_out(
        chunks in proptest::collection::vec("[a-z \u{e9}\u{1f426}\u{301}]{1,12}", 1..6),
    ) {
        let document =
            Document::new(TaskPrompt::new(Task::Retrieval, Prompt::Passage), &chunks).unwrap();
        let tokens = tiny().encode(document.text()).unwrap();
        if let Ok(spans) = document.token_spans(&tokens, prompt::MAX_LENGTH) {
            prop_assert_eq!(spans.len(), chunks.len());
            prop_assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert_eq!(spans.last().unwrap().end, tokens.len());
            prop_assert!((4..=5).contains(&spans[0].start));
        }
    }
}
