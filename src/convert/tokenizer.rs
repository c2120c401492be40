//! The vocabulary of `tokenizer.json` as llama.cpp's metadata keys.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::config::{TextConfig, read_json};
use super::error::Error;
use crate::gguf::{Metadata, Strings};

/// llama.cpp's kinds of token.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

#[derive(Deserialize)]
struct TokenizerFile {
    added_tokens: Vec<AddedToken>,
    model: Bpe,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Bpe {
    r#type: String,
    vocab: HashMap<String, usize>,
    merges: Vec<Merge>,
}

/// Older files have `"a b"`, newer ones `["a", "b"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

/// Reads `tokenizer.json` and adds its keys.
///
/// Fails if it is not a byte-pair tokeniser, or if an id is beyond the embedding's rows or used
/// twice.
pub(super) fn insert_into(
    metadata: &mut Metadata,
    path: &Path,
    text: &TextConfig,
) -> Result<(), Error> {
    let file: TokenizerFile = read_json(path)?;
    let bad = |reason: String| Error::BadTokenizer {
        path: path.to_owned(),
        reason,
    };
    if file.model.r#type != "BPE" {
        return Err(bad(format!(
            "the model must be BPE, but is {:?}",
            file.model.r#type
        )));
    }
    let mut tokens: Vec<Option<(&str, i32)>> = vec![None; text.vocab_size];
    let mut place = |id: usize, token, kind| match tokens.get_mut(id) {
        None => Err(bad(format!(
            "token {token:?} has id {id}, but there are {} embeddings",
            text.vocab_size
        ))),
        Some(Some((other, _))) if *other != token => Err(bad(format!(
            "tokens {other:?} and {token:?} both have id {id}"
        ))),
        Some(slot) => {
            *slot = Some((token, kind));
            Ok(())
        }
    };
    for (token, id) in &file.model.vocab {
        place(*id, token.as_str(), NORMAL)?;
    }
    for token in &file.added_tokens {
        // llama.cpp's converter: what is special, or spelled like it, never comes from plain text.
        let looks_special = token.content.starts_with("<|") && token.content.ends_with("|>");
        let kind = if token.special || looks_special {
            CONTROL
        } else {
            USER_DEFINED
        };
        place(token.id, token.content.as_str(), kind)?;
    }
    let mut names = Strings::default();
    let mut kinds = Vec::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        match token {
            Some((token, kind)) => {
                names.push(token);
                kinds.push(*kind);
            }
            None => {
                names.push(&format!("[PAD{id}]"));
                kinds.push(UNUSED);
            }
        }
    }
    let merges: Strings = file
        .model
        .merges
        .into_iter()
        .map(|merge| match merge {
            Merge::Joined(pair) => pair,
            Merge::Pair(left, right) => format!("{left} {right}"),
        })
        .collect();
    metadata.insert("tokenizer.ggml.model", "gpt2")?;
    metadata.insert("tokenizer.ggml.pre", "qwen2")?;
    metadata.insert("tokenizer.ggml.tokens", names)?;
    metadata.insert("tokenizer.ggml.token_type", kinds)?;
    metadata.insert("tokenizer.ggml.merges", merges)?;
    metadata.insert("tokenizer.ggml.eos_token_id", text.eos_token_id)?;
    // The reference pads with the token that the configuration calls its beginning.
    metadata.insert("tokenizer.ggml.padding_token_id", text.bos_token_id)?;
    metadata.insert("tokenizer.ggml.bos_token_id", text.bos_token_id)?;
    metadata.insert("tokenizer.ggml.add_bos_token", false)?;
    Ok(())
}
