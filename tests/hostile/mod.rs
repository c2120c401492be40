//! Builds files for `gguf_hostile_header.rs` and `gguf_hostile_tensors.rs`.
#![allow(dead_code)]

use jina_embeddings_web::gguf::{Error, Header};

/// Builds GGUF files byte by byte, with no regard for the rules.
#[derive(Clone, Default)]
pub struct File {
    pub n_tensors: u64,
    pub n_keys: u64,
    pub keys: Vec<u8>,
    pub tensors: Vec<u8>,
    pub data: Vec<u8>,
}

pub fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

impl File {
    pub fn key(mut self, name: &str, type_id: u32, value: &[u8]) -> File {
        self.n_keys += 1;
        self.keys.extend(string(name.as_bytes()));
        self.keys.extend(type_id.to_le_bytes());
        self.keys.extend(value);
        self
    }

    /// `dimensions` as in the file: innermost first.
    pub fn tensor(mut self, name: &str, dimensions: &[u64], type_id: u32, offset: u64) -> File {
        self.n_tensors += 1;
        self.tensors.extend(string(name.as_bytes()));
        self.tensors.extend((dimensions.len() as u32).to_le_bytes());
        for n in dimensions {
            self.tensors.extend(n.to_le_bytes());
        }
        self.tensors.extend(type_id.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self
    }

    pub fn data(mut self, n_bytes: usize) -> File {
        self.data.resize(n_bytes, 0);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_keys.to_le_bytes());
        bytes.extend(&self.keys);
        bytes.extend(&self.tensors);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    pub fn error(&self) -> Error {
        parse_error(&self.bytes())
    }
}

pub fn parse_error(bytes: &[u8]) -> Error {
    match Header::parse(bytes, Some(bytes.len() as u64)) {
        Err(error) => error,
        Ok(parsed) => panic!("accepted as {parsed:?}"),
    }
}

pub const F32: u32 = 0;
pub const Q4_0: u32 = 2;

pub fn sound() -> File {
    File::default()
        .key("general.architecture", 8, &string(b"qwen2vl"))
        .tensor("a", &[32, 2], Q4_0, 0)
        .tensor("b", &[3], F32, 64)
        .data(64 + 12)
}

/// Asserts the variant, the words that its message must have, and the code.
macro_rules! assert_error {
    ($error:expr, $pattern:pat, $code:ident, $($word:expr),* $(,)?) => {{
        let error: jina_embeddings_web::gguf::Error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
        let message = error.to_string();
        $(assert!(message.contains($word), "`{}` is not in: {message}", $word);)*
        assert_eq!(error.code(), jina_embeddings_web::Code::$code);
    }};
}

pub(crate) use assert_error;
