//! The model's tokeniser: byte-level byte-pair encoding as in Qwen2.5.
//!
//! 1. Added tokens (`<|im_start|>`, `<tool_call>`, ...) are cut out of the text as they stand.
//! 2. What lies between is brought to NFC and split into words by the model's regular expression.
//! 3. The bytes of a word are merged, pair by pair, by rank.
//!
//! Nothing is put in front or behind. The work is done by Hugging Face's `tokenizers`, the library
//! of the reference, but for the third step over the vocabulary of a GGUF file (see `bpe.rs`).

use std::sync::Arc;

use tokenizers::TokenizerImpl;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::tokenizer::EncodeInput;

use super::Error;
use super::bpe::Bpe;

/// Runs of more blanks than this are refused: the regular expression backtracks over a run, and
/// past a million steps its engine gives up in silence and leaves the rest of the text uncut.
const MAX_BLANK_RUN: usize = 200_000;

/// A loaded tokeniser. Cheap to share, safe to call from several threads.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Inner,
    vocab_size: usize,
}

/// Qwen2's own, over our tables.
pub(super) type Compact = TokenizerImpl<Bpe, NFC, Sequence, ByteLevel, ByteLevel>;

#[derive(Debug, Clone)]
pub(super) enum Inner {
    /// Of a GGUF file.
    Compact(Arc<Compact>),
    /// Of a `tokenizer.json`, which may say anything that the library knows.
    Library(Arc<tokenizers::Tokenizer>),
}

/// A tokenised text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// One id per token.
    pub ids: Vec<u32>,
    /// For each token the bytes of the given text it stands for, start and end. Tokens that share a
    /// character (an emoji takes several) share its range; ranges never go back.
    pub offsets: Vec<(usize, usize)>,
}

impl Tokens {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Keeps the first `max_length` tokens; those of the prefix count.
    ///
    /// Fails when `max_length` is 0.
    pub fn truncate(&mut self, max_length: usize) -> Result<(), Error> {
        if max_length == 0 {
            return Err(Error::MaxLength { found: max_length });
        }
        self.ids.truncate(max_length);
        self.offsets.truncate(max_length);
        Ok(())
    }
}

/// The ids of the tokens that the prompts are made of, as the file numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// `<|vision_start|>`
    pub vision_start: u32,
    /// `<|vision_end|>`
    pub vision_end: u32,
    /// `<|image_pad|>`
    pub image_pad: u32,
    /// `<|im_start|>`
    pub im_start: u32,
    /// `<|im_end|>`
    pub im_end: u32,
    /// `<|endoftext|>`, with which shorter texts of a batch are filled.
    pub pad: u32,
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`.
    ///
    /// Truncation and padding that the file may ask for are left out: they are the caller's.
    /// Fails when it cannot be read, or when its model is not byte-pair encoding.
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Tokenizer, Error> {
        let failed = |error: tokenizers::Error| Error::BadTokenizerJson {
            reason: error.to_string(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(failed)?;
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        let other = match inner.get_model() {
            ModelWrapper::BPE(_) => {
                let highest = inner.get_vocab(true).into_values().max();
                let vocab_size = highest.map_or(0, |id| id as usize + 1);
                return Ok(Tokenizer::new(Inner::Library(Arc::new(inner)), vocab_size));
            }
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        };
        let (key, needed) = ("model.type", "BPE");
        Err(Error::UnsupportedTokenizer {
            key,
            needed,
            found: other.to_owned(),
        })
    }

    pub(super) fn new(inner: Inner, vocab_size: usize) -> Tokenizer {
        Tokenizer { inner, vocab_size }
    }

    /// Tokenises a text, with nothing put around it.
    ///
    /// Fails only on a text with an absurdly long run of blanks.
    pub fn encode(&self, text: &str) -> Result<Tokens, Error> {
        let found = longest_blank_run(text);
        if found > MAX_BLANK_RUN {
            return Err(Error::BlankRunTooLong {
                found,
                max: MAX_BLANK_RUN,
            });
        }
        let input = EncodeInput::Single(text.into());
        let encoding = match &self.inner {
            Inner::Compact(inner) => inner.encode(input, false),
            Inner::Library(inner) => inner.encode(input, false),
        };
        let encoding = encoding.map_err(|error| Error::Tokenize {
            reason: error.to_string(),
        })?;
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
        })
    }

    /// The id of a token, given as it is written in the file.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        match &self.inner {
            Inner::Compact(inner) => inner.token_to_id(token),
            Inner::Library(inner) => inner.token_to_id(token),
        }
    }

    /// One more than the highest id. The model's embedding table has at least so many rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids that the prompts need.
    ///
    /// Fails, naming the token, when the vocabulary lacks one.
    pub fn special_ids(&self) -> Result<SpecialIds, Error> {
        let id = |token| self.token_id(token).ok_or(Error::MissingToken { token });
        Ok(SpecialIds {
            vision_start: id("<|vision_start|>")?,
            vision_end: id("<|vision_end|>")?,
            image_pad: id("<|image_pad|>")?,
            im_start: id("<|im_start|>")?,
            im_end: id("<|im_end|>")?,
            pad: id("<|endoftext|>")?,
        })
    }
}

fn longest_blank_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for character in text.chars() {
        run = if character.is_whitespace() {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
    }
    longest
}
