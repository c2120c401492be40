use std::path::{Path, PathBuf};

use crate::error::Code;
use crate::gguf;

/// Why a model could not be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, created or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A JSON file is not valid JSON, or lacks a field, or has one of another type.
    #[error("{}: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    /// A field of a configuration file has a value that makes no sense.
    #[error("{}: `{field}` must be {needed}, but is {found}", path.display())]
    BadField {
        path: PathBuf,
        field: String,
        needed: String,
        found: String,
    },
    /// A field of a configuration file asks for something that is not computed here.
    #[error("{}: `{field}` is {found}; only {needed} is supported", path.display())]
    UnsupportedField {
        path: PathBuf,
        field: String,
        needed: String,
        found: String,
    },

    /// The header of a safetensors file is damaged.
    #[error("{}: the safetensors header is damaged: {reason}", path.display())]
    BadShard { path: PathBuf, reason: String },
    /// A safetensors file is shorter or longer than its header says.
    #[error("{}: the header describes {needed_bytes} bytes, but the file has {found_bytes}", path.display())]
    ShardSize {
        path: PathBuf,
        needed_bytes: u64,
        found_bytes: u64,
    },
    /// The index promises a tensor that its shard does not hold.
    #[error("tensor `{name}` should be in {} by the index, but is not", path.display())]
    NotInShard { name: String, path: PathBuf },
    /// A tensor that the model needs is in no shard.
    #[error("tensor `{name}` is missing; {needed:?} is needed")]
    TensorMissing { name: String, needed: Vec<usize> },
    /// A tensor that the model does not have.
    #[error("tensor `{name}` is not part of this model; {n_unknown} such tensors were found")]
    TensorUnexpected { name: String, n_unknown: usize },
    /// The same tensor under both spellings, or in two shards.
    #[error("tensor `{name}` occurs twice, also as `{other}`")]
    TensorTwice { name: String, other: String },
    /// A tensor has another shape than the configuration demands.
    #[error("tensor `{name}` must have shape {needed:?}, but has {found:?}")]
    TensorShape {
        name: String,
        needed: Vec<usize>,
        found: Vec<usize>,
    },
    /// A tensor is stored in a type that is not read here.
    #[error("tensor `{name}` is stored as {found}; only BF16, F16 and F32 are read")]
    TensorDtype { name: String, found: String },
    /// A weight is infinite or not a number.
    #[error("tensor `{name}`: element {at_element} is {value}; every weight must be finite")]
    NotFinite {
        name: String,
        at_element: usize,
        value: f32,
    },
    /// A weight is beyond the range of the type it is to be stored in.
    #[error("tensor `{name}`: {source}")]
    NotRepresentable { name: String, source: gguf::Error },

    /// A GGUF file cannot be read.
    #[error("{}: {source}", path.display())]
    BadGguf { path: PathBuf, source: gguf::Error },
    /// A GGUF file holds another kind of model than its place needs.
    #[error("{}: `{key}` must be {needed}, but is {found}", path.display())]
    OtherModel {
        path: PathBuf,
        key: String,
        needed: String,
        found: String,
    },
    /// An importance matrix is damaged or of another model.
    #[error("{}: the importance matrix cannot be used: {reason}", path.display())]
    BadImatrix { path: PathBuf, reason: String },
    /// Which adapter was merged into the matrices is stated nowhere.
    #[error("{}: there are no adapters, and no name says which task is merged into the weights; pass --task", path.display())]
    TaskUnknown { path: PathBuf },
    /// A task that the model has no adapter of.
    #[error("the task {found:?} cannot be used: {needed}")]
    BadTask { found: String, needed: String },

    /// The tokeniser file does not fit the model.
    #[error("{}: {reason}", path.display())]
    BadTokenizer { path: PathBuf, reason: String },
    /// The name of the model cannot be used.
    #[error("the name {found:?} cannot be used: a name has at least one character and no slash")]
    BadName { found: String },
    /// The destination is there already.
    #[error("{} exists already; pass --force to replace it", path.display())]
    Exists { path: PathBuf },
    /// The destination is there and is not a model directory, so it is not replaced.
    #[error("{} exists and is not a model directory, so it is not replaced", path.display())]
    NotAModelDirectory { path: PathBuf },
    /// Another run is writing the same directory.
    #[error("{} is being written by another run", path.display())]
    Busy { path: PathBuf },
    /// The caller stopped the conversion.
    #[error("stopped; what is complete was kept, and the same command goes on from there")]
    Aborted,
    /// `model.json` does not describe a model directory that can be read.
    #[error("model.json: {reason}")]
    BadManifest { reason: String },
    /// The output breaks a rule of the container.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::Io { .. } => Code::Io,
            Error::UnsupportedField { .. } | Error::TensorDtype { .. } => Code::ModelUnsupported,
            Error::BadName { .. }
            | Error::BadTask { .. }
            | Error::Busy { .. }
            | Error::Exists { .. }
            | Error::NotAModelDirectory { .. }
            | Error::TaskUnknown { .. } => Code::InputInvalid,
            Error::OtherModel { .. } => Code::ModelUnsupported,
            Error::Aborted => Code::Aborted,
            Error::Gguf(error) | Error::BadGguf { source: error, .. } => error.code(),
            _ => Code::ModelInvalid,
        }
    }

    /// For `map_err`: wraps a failure of the file system at `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }
}
