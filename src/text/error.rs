use crate::error::Code;
use crate::gguf;

/// What can be wrong with a tokeniser's file, or with a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No task is called that.
    #[error("`{found}` is no task; the tasks are {allowed}")]
    UnknownTask {
        /// What was asked for.
        found: String,
        /// All that may be asked for.
        allowed: String,
    },
    /// `tokenizer.json` cannot be read.
    #[error("tokenizer.json cannot be read: {reason}")]
    BadTokenizerJson {
        /// What the parser met.
        reason: String,
    },
    /// The file holds a tokeniser of another kind.
    #[error("`{key}` is `{found}`; only {needed} is supported")]
    UnsupportedTokenizer {
        /// The key in the file.
        key: &'static str,
        /// What is computed here.
        needed: &'static str,
        /// What the file holds.
        found: String,
    },
    /// An array of the vocabulary has another length than the tokens.
    #[error("`{key}` has {found} entries, but there are {needed} tokens")]
    VocabularyLength {
        /// The key in the file.
        key: &'static str,
        /// Number of tokens.
        needed: usize,
        /// Length of the array.
        found: usize,
    },
    /// A merge rule is no pair of tokens, or its result is no token.
    #[error("entry {index} of `tokenizer.ggml.merges`, `{found}`, {rule}")]
    BadMerge {
        /// Position in the array.
        index: usize,
        /// The entry.
        found: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// Two ids stand for the same text.
    #[error("`tokenizer.ggml.tokens` holds `{token}` twice, as {first} and as {second}")]
    DuplicateToken {
        /// The text.
        token: String,
        /// Its first id.
        first: u32,
        /// Its second id.
        second: u32,
    },
    /// The vocabulary and its merges do not fit together.
    #[error("the vocabulary cannot be used: {reason}")]
    BadVocabulary {
        /// What the tokeniser library said.
        reason: String,
    },
    /// A token that the prompts need is not in the vocabulary, or is not atomic.
    #[error("the vocabulary has no token `{token}`, which the model's prompts need")]
    MissingToken {
        /// The token's text.
        token: &'static str,
    },
    /// A key of the metadata is missing or has the wrong type.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// The text cannot be cut into words safely.
    #[error(
        "the text has a run of {found} blank characters; the tokeniser takes at most {max} in a row"
    )]
    BlankRunTooLong {
        /// Length of the run in characters.
        found: usize,
        /// The limit that was broken.
        max: usize,
    },
    /// The tokeniser failed on a text; this should not happen.
    #[error("the text could not be tokenised: {reason}")]
    Tokenize {
        /// What the tokeniser said.
        reason: String,
    },
    /// Truncating to nothing leaves nothing to embed.
    #[error("max_length must be at least 1, but is {found}")]
    MaxLength {
        /// What was given.
        found: usize,
    },
    /// There is nothing to cut.
    #[error("late chunking needs at least one chunk")]
    NoChunks,
    /// No token begins in this chunk.
    #[error("chunk {chunk} of {n_chunks} holds no token of its own (it has {n_bytes} bytes)")]
    EmptyChunk {
        /// Position among the chunks.
        chunk: usize,
        /// How many chunks there are.
        n_chunks: usize,
        /// Its length in UTF-8.
        n_bytes: usize,
    },
    /// All of this chunk lies past the end of what the model reads.
    #[error(
        "chunk {chunk} of {n_chunks} begins at token {token_start}, past the {max_length} tokens that are embedded"
    )]
    ChunkPastEnd {
        /// Position among the chunks.
        chunk: usize,
        /// How many chunks there are.
        n_chunks: usize,
        /// Where it begins, in tokens from the start of the prefix.
        token_start: usize,
        /// How many tokens are kept.
        max_length: usize,
    },
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::BadTokenizerJson { .. }
            | Error::VocabularyLength { .. }
            | Error::BadMerge { .. }
            | Error::DuplicateToken { .. }
            | Error::BadVocabulary { .. }
            | Error::MissingToken { .. } => Code::ModelInvalid,
            Error::Gguf(error) => error.code(),
            Error::UnsupportedTokenizer { .. } => Code::ModelUnsupported,
            Error::Tokenize { .. } => Code::Internal,
            Error::UnknownTask { .. }
            | Error::BlankRunTooLong { .. }
            | Error::MaxLength { .. }
            | Error::NoChunks
            | Error::EmptyChunk { .. }
            | Error::ChunkPastEnd { .. } => Code::InputInvalid,
        }
    }
}
