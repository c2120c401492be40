use super::TensorType;
use crate::error::Code;

/// What is wrong with a GGUF file, or with a request to read or write one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first four bytes are not the magic.
    #[error("not a GGUF file: it must begin with \"GGUF\", but begins with the bytes {found:02x?}")]
    NotGguf { found: [u8; 4] },
    /// A version of the format that this reader does not know.
    #[error("GGUF version {found} is not supported; versions 2 and 3 are")]
    UnsupportedVersion { found: u32 },
    /// The version field only makes sense with its bytes swapped.
    #[error(
        "the file is GGUF version {version} in big-endian order; only little-endian files are supported"
    )]
    BigEndian { version: u32 },
    /// The file ends inside its header.
    #[error("{what} needs the file to hold {needed_bytes} bytes, but it has {file_bytes}")]
    Truncated {
        what: String,
        needed_bytes: u64,
        file_bytes: u64,
    },
    /// A count or length in the header would make it larger than any sane one.
    #[error(
        "{what} makes the header at least {needed_bytes} bytes long; at most {limit_bytes} are accepted"
    )]
    HeaderTooLarge {
        what: String,
        needed_bytes: u64,
        limit_bytes: u64,
    },
    /// A string in the header is not UTF-8.
    #[error("{what} is not valid UTF-8: byte {at_byte} of it breaks the rules")]
    NotUtf8 { what: String, at_byte: usize },
    /// A key or a tensor name has no characters.
    #[error("{what} is empty")]
    EmptyName { what: String },
    /// A key or a tensor name is longer than the format allows.
    #[error("{what} is {found_bytes} bytes long; at most {limit_bytes} are allowed")]
    NameTooLong {
        what: String,
        found_bytes: u64,
        limit_bytes: u64,
    },
    /// A metadata value has a type id outside the format.
    #[error("key `{key}` has value type {found}; the types are 0 to 12")]
    UnknownValueType { key: String, found: u32 },
    /// A metadata array holds arrays.
    #[error("key `{key}` is an array of arrays, which is not supported")]
    NestedArray { key: String },
    /// A boolean is stored as something other than 0 or 1.
    #[error("key `{key}` holds the boolean byte {found}; it must be 0 or 1")]
    BadBool { key: String, found: u8 },
    /// A key occurs twice.
    #[error("key `{key}` occurs twice")]
    DuplicateKey { key: String },
    /// `general.alignment` is unusable.
    #[error("`general.alignment` is {found}; it must be a power of two")]
    BadAlignment { found: u64 },

    /// A key that is needed is absent.
    #[error("key `{key}` is missing; {needed} is needed")]
    KeyMissing { key: String, needed: &'static str },
    /// A key has another type than needed.
    #[error("key `{key}` must be {needed}, but is {found}")]
    KeyType {
        key: String,
        needed: &'static str,
        found: String,
    },
    /// A number does not fit the type it is needed in.
    #[error("key `{key}` must be {needed}, but holds {found}")]
    KeyRange {
        key: String,
        needed: &'static str,
        found: String,
    },

    /// A tensor name occurs twice.
    #[error("tensor `{name}` occurs twice")]
    DuplicateTensor { name: String },
    /// A tensor that is needed is absent.
    #[error("tensor `{name}` is missing")]
    TensorMissing { name: String },
    /// A tensor has another shape than needed.
    #[error("tensor `{name}` must have shape {needed:?}, but has {found:?}")]
    WrongShape {
        name: String,
        needed: Vec<usize>,
        found: Vec<usize>,
    },
    /// A tensor has no dimension or too many.
    #[error("tensor `{name}` has {found} dimensions; 1 to 4 are allowed")]
    BadDimensionCount { name: String, found: u32 },
    /// A tensor has no elements.
    #[error("tensor `{name}` has shape {shape:?}; every dimension must be at least 1")]
    EmptyTensor { name: String, shape: Vec<u64> },
    /// A tensor's size cannot be expressed on this machine.
    #[error("tensor `{name}` of shape {shape:?} is too large to be addressed")]
    TensorTooLarge { name: String, shape: Vec<u64> },
    /// A tensor has a type of ggml's that this crate does not decode.
    #[error(
        "tensor `{name}` is of type {type_name}, which is not supported; use one of F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS"
    )]
    UnsupportedTensorType {
        name: String,
        type_name: &'static str,
    },
    /// A tensor has a type id that ggml does not assign.
    #[error("tensor `{name}` has the unknown type id {found}")]
    UnknownTensorType { name: String, found: u32 },
    /// A row of a tensor is not a whole number of blocks.
    #[error(
        "tensor `{name}` has rows of {row_elements} elements, but {tensor_type} needs a multiple of {block_elements}"
    )]
    RowNotBlocks {
        name: String,
        row_elements: u64,
        tensor_type: TensorType,
        block_elements: usize,
    },
    /// A tensor starts at an offset that is not aligned.
    #[error(
        "tensor `{name}` starts at offset {offset} of the data, which is not a multiple of the alignment {alignment}"
    )]
    Misaligned {
        name: String,
        offset: u64,
        alignment: u64,
    },
    /// A tensor runs past the end of the file.
    #[error("tensor `{name}` needs {n_bytes} bytes at {offset}, but the file has {file_bytes}")]
    TensorOutOfBounds {
        name: String,
        offset: u64,
        n_bytes: u64,
        file_bytes: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "tensor `{name}` starts at {offset}, inside tensor `{other}`, which ends at {other_end}"
    )]
    Overlap {
        name: String,
        offset: u64,
        other: String,
        other_end: u64,
    },

    /// Bytes and elements given to a conversion do not agree.
    #[error("{n_elements} elements of {tensor_type} are {needed}, but {n_bytes} bytes were given")]
    BlockBytes {
        tensor_type: TensorType,
        n_elements: usize,
        n_bytes: usize,
        needed: String,
    },
    /// A number of elements is not a whole number of blocks.
    #[error(
        "{n_elements} elements are not a whole number of {tensor_type} blocks of {block_elements}"
    )]
    NotBlocks {
        tensor_type: TensorType,
        n_elements: usize,
        block_elements: usize,
    },
    /// A type that can be read but not written.
    #[error(
        "writing {tensor_type} is not supported; use one of F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1"
    )]
    CannotQuantize { tensor_type: TensorType },
    /// A value is infinite, not a number, or beyond what the type can hold.
    #[error("element {at_element} is {value}, which {tensor_type} cannot hold")]
    NotRepresentable {
        tensor_type: TensorType,
        at_element: usize,
        value: f32,
    },

    /// The parts of a split model do not belong together.
    #[error("part {part} of a split model has `{key}` {found}; {needed} is needed")]
    SplitMismatch {
        part: usize,
        key: &'static str,
        needed: String,
        found: String,
    },

    /// Tensor data was given to the writer in another amount or order than announced.
    #[error("the writer needs {needed}, but was given {found}")]
    WriteOrder { needed: String, found: String },
    /// The file could not be read.
    #[error("could not read: {source}")]
    Read { source: std::io::Error },
    /// The destination refused bytes.
    #[error("could not write: {source}")]
    Write {
        #[from]
        source: std::io::Error,
    },
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::UnsupportedVersion { .. }
            | Error::BigEndian { .. }
            | Error::NestedArray { .. }
            | Error::UnsupportedTensorType { .. }
            | Error::CannotQuantize { .. } => Code::ModelUnsupported,
            Error::Read { .. } | Error::Write { .. } => Code::Io,
            Error::BlockBytes { .. } | Error::NotBlocks { .. } | Error::WriteOrder { .. } => {
                Code::Internal
            }
            _ => Code::ModelInvalid,
        }
    }
}
