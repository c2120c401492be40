//! The example for native use, run on the tiny model.
#![cfg(all(feature = "gpu", feature = "cli"))]

#[path = "../examples/encode.rs"]
#[allow(dead_code, reason = "its `main` is the example's own")]
mod encode;

use std::path::Path;

/// Of unit vectors in f32, against themselves.
const MAX_ERROR: f32 = 1e-5;

#[test]
fn the_example_ranks_texts_for_a_query_the_same_every_time() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let model = fixtures.join("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    let candidates = ["Bread rises.", "A cat sleeps.", "Bread rises."].map(str::to_owned);
    let rank = || encode::rank(&model, "a sleeping cat", &candidates).expect("a ranking");
    let ranked = rank();
    assert_eq!(ranked.len(), 3);
    assert!(ranked.is_sorted_by(|a, b| a.0 >= b.0), "{ranked:?}");
    assert!(
        ranked
            .iter()
            .all(|(score, _)| score.abs() <= 1.0 + MAX_ERROR)
    );
    let bread: Vec<f32> = ranked
        .iter()
        .filter(|it| it.1 == "Bread rises.")
        .map(|it| it.0)
        .collect();
    assert_eq!(bread[0], bread[1]);
    assert_eq!(rank(), ranked);
}

#[test]
fn a_file_that_is_no_picture_fails_the_ranking() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let model = fixtures.join("tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf");
    let text_file = fixtures.join("README.md").display().to_string();
    let error = encode::rank(&model, "a", &[text_file]).expect_err("no picture");
    assert!(error.to_string().contains("PNG"), "{error}");
}
