//! The tokeniser that a GGUF file carries in its metadata.
//!
//! | key | meaning |
//! | --- | --- |
//! | `tokenizer.ggml.model` | `gpt2`: byte-level byte-pair encoding |
//! | `tokenizer.ggml.pre` | `qwen2`: NFC and the regular expression below |
//! | `tokenizer.ggml.tokens` | the tokens by id |
//! | `tokenizer.ggml.token_type` | 1 normal, 3 control, 4 user-defined, 5 unused |
//! | `tokenizer.ggml.merges` | pairs `a b` by rank |
//!
//! Control and user-defined tokens are recognised in a text as they stand. Unused ones fill the
//! table up to the number of embedding rows and are no tokens. llama.cpp skips NFC; this does not,
//! as the reference does not.

use std::sync::Arc;

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::bpe::Bpe;
use super::tokenizer::{Compact, Inner};
use super::{Error, Tokenizer};
use crate::gguf::Metadata;

/// How Qwen2 cuts text into words: contractions; letters with one other character in front; single
/// digits; other characters with their line ends; line ends; blanks.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The type of what is no token.
const UNUSED: u32 = 5;

impl Tokenizer {
    /// Builds the tokeniser from the metadata of a GGUF file.
    ///
    /// Fails, naming the key, when one is missing or of another type, when the tokeniser is not
    /// Qwen2's, and when tokens, types and merges do not fit together.
    pub fn from_gguf(metadata: &Metadata) -> Result<Tokenizer, Error> {
        for (key, needed) in [
            ("tokenizer.ggml.model", "gpt2"),
            ("tokenizer.ggml.pre", "qwen2"),
        ] {
            let found = metadata.str(key)?;
            if found != needed {
                return Err(Error::UnsupportedTokenizer {
                    key,
                    needed,
                    found: found.to_owned(),
                });
            }
        }
        let tokens = metadata.strs("tokenizer.ggml.tokens")?;
        let token_types = metadata.u32s("tokenizer.ggml.token_type")?;
        if token_types.len() != tokens.len() {
            return Err(Error::VocabularyLength {
                key: "tokenizer.ggml.token_type",
                needed: tokens.len(),
                found: token_types.len(),
            });
        }

        let mut added = Vec::new();
        for (id, (token, token_type)) in tokens.iter().zip(&token_types).enumerate() {
            match *token_type {
                1 | UNUSED => {}
                3 | 4 => {
                    added.push(AddedToken::from(token, *token_type == 3).normalized(false));
                }
                other => {
                    return Err(Error::UnsupportedTokenizer {
                        key: "tokenizer.ggml.token_type",
                        needed: "1, 3, 4 or 5",
                        found: format!("{other} (of token {id})"),
                    });
                }
            }
        }
        let is_used = |id: usize| token_types[id] != UNUSED;
        let bpe = Bpe::new(tokens, is_used, metadata.strs("tokenizer.ggml.merges")?)?;
        let vocab_size = (0..tokens.len())
            .rfind(|id| is_used(*id))
            .map_or(0, |id| id + 1);

        let failed = |error: tokenizers::Error| Error::BadVocabulary {
            reason: error.to_string(),
        };
        let words = Split::new(
            SplitPattern::Regex(QWEN2_WORDS.to_owned()),
            SplitDelimiterBehavior::Isolated,
            false,
        )
        .map_err(failed)?;
        let byte_level = ByteLevel::new(false, false, false);

        let mut tokenizer = Compact::new(bpe);
        tokenizer
            .with_normalizer(Some(NFC))
            .with_pre_tokenizer(Some(Sequence::new(vec![
                PreTokenizerWrapper::Split(words),
                PreTokenizerWrapper::ByteLevel(byte_level),
            ])))
            .with_post_processor(Some(byte_level))
            .with_decoder(Some(byte_level));
        tokenizer.add_tokens(&added);
        let inner = Inner::Compact(Arc::new(tokenizer));
        Ok(Tokenizer::new(inner, vocab_size))
    }
}
