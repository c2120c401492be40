//! One error type for the whole crate, each error with a stable code that TypeScript shares.
//!
//! A module that parses or checks something owns an enum of its own failures (`gguf::Error`,
//! `text::Error`, `image::Error`), each naming the thing, what was needed and what was found;
//! [`Error`] wraps them, and [`Code`] is what a program may match on.

#[cfg(feature = "gpu")]
use crate::weights;
use crate::{gguf, image, search, self_test, text};

/// What a program may branch on. The strings are part of the public interface, in Rust, in
/// TypeScript and across the worker; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// A weight file is damaged, incomplete or inconsistent.
    ModelInvalid,
    /// A weight file is sound, but holds something this build does not compute.
    ModelUnsupported,
    /// One of the inputs of a call breaks a rule; the message says which and why.
    InputInvalid,
    /// The loaded files hold no adapter for the requested task, or no part for the requested kind.
    TaskUnavailable,
    /// No WebGPU (or Vulkan, Metal, DX12) here.
    WebgpuUnavailable,
    /// WebGPU is there, but offers no adapter.
    NoAdapter,
    /// The adapter's limits are below what the model needs.
    LimitsInsufficient,
    /// An allocation failed.
    OutOfMemory,
    /// The device was lost; nothing computed since is valid.
    DeviceLost,
    /// A shader, a pipeline or a command was rejected by the device.
    GpuError,
    /// A result was not finite, so it was withheld.
    NotFinite,
    /// The caller cancelled.
    Aborted,
    /// The object was disposed of.
    Disposed,
    /// A vector lies in another space than those of the search index.
    SpaceMismatch,
    /// An id that has to be new is in the search index already.
    DuplicateId,
    /// A file of a search index is damaged, incomplete, or none.
    IndexInvalid,
    /// A file of a search index was written by a later version.
    IndexUnsupported,
    /// A file could not be read or written.
    Io,
    /// A defect in this library.
    Internal,
}

impl Code {
    /// The code as TypeScript and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::ModelInvalid => "MODEL_INVALID",
            Code::ModelUnsupported => "MODEL_UNSUPPORTED",
            Code::InputInvalid => "INPUT_INVALID",
            Code::TaskUnavailable => "TASK_UNAVAILABLE",
            Code::WebgpuUnavailable => "WEBGPU_UNAVAILABLE",
            Code::NoAdapter => "NO_ADAPTER",
            Code::LimitsInsufficient => "LIMITS_INSUFFICIENT",
            Code::OutOfMemory => "OUT_OF_MEMORY",
            Code::DeviceLost => "DEVICE_LOST",
            Code::GpuError => "GPU_ERROR",
            Code::NotFinite => "NOT_FINITE",
            Code::Aborted => "ABORTED",
            Code::Disposed => "DISPOSED",
            Code::SpaceMismatch => "SPACE_MISMATCH",
            Code::DuplicateId => "DUPLICATE_ID",
            Code::IndexInvalid => "INDEX_INVALID",
            Code::IndexUnsupported => "INDEX_UNSUPPORTED",
            Code::Io => "IO",
            Code::Internal => "INTERNAL",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A GGUF file is damaged or holds something unknown.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// A tokeniser could not be built, or a text could not be encoded.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// A picture could not be decoded or has a shape the model does not take.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A search index refused an item or a query, or could not be read.
    #[error(transparent)]
    Search(#[from] search::Error),
    /// The vectors kept beside a model cannot be read.
    #[error(transparent)]
    SelfTest(#[from] self_test::Error),
    /// Sound files that do not make a model together.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A model could not be converted, or its `model.json` read.
    #[cfg(feature = "cli")]
    #[error(transparent)]
    Convert(#[from] crate::convert::Error),
    /// The device failed; the code says how.
    #[error("{message}")]
    Device { code: Code, message: String },
    /// One input of a call breaks a rule.
    #[error("input {index}: {source}")]
    Input { index: usize, source: Box<Error> },
    /// An option does not fit the model or another option.
    #[error("`{option}` needs {needed}, found {found}")]
    Option {
        option: &'static str,
        needed: String,
        found: String,
    },
    /// The loaded files cannot compute this.
    #[error("the loaded files need a {needed} for this, and have {found}")]
    TaskUnavailable { needed: String, found: String },
    /// One input needs more of the device than it may have. Nothing of it was computed.
    #[error("{what} needs {needed} bytes, found {found} {found_what}")]
    TooLarge {
        code: Code,
        what: String,
        needed: u64,
        found: u64,
        found_what: &'static str,
    },
    /// A result was withheld, since it is no number.
    #[error("element {element} of the result is not finite")]
    NotFinite { element: usize },
    /// The caller cancelled.
    #[error("cancelled by the caller")]
    Aborted,
    /// A file could not be read or written.
    #[error("`{path}`: {source}")]
    Io {
        path: String,
        source: std::io::Error,
    },
}

#[cfg(feature = "gpu")]
impl From<crate::model::Stopped> for Error {
    fn from(_: crate::model::Stopped) -> Self {
        Error::Aborted
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::Gguf(error) => error.code(),
            Error::Text(error) => error.code(),
            Error::Image(error) => error.code(),
            Error::Search(error) => error.code(),
            Error::SelfTest(error) => error.code(),
            #[cfg(feature = "gpu")]
            Error::Weights(error) => error.code(),
            #[cfg(feature = "cli")]
            Error::Convert(error) => error.code(),
            Error::Device { code, .. } | Error::TooLarge { code, .. } => *code,
            Error::Input { source, .. } => source.code(),
            Error::Option { .. } => Code::InputInvalid,
            Error::TaskUnavailable { .. } => Code::TaskUnavailable,
            Error::NotFinite { .. } => Code::NotFinite,
            Error::Aborted => Code::Aborted,
            Error::Io { .. } => Code::Io,
        }
    }

    /// Whether only the input at hand is at fault, so that the others of a call can go on.
    pub fn is_of_one_input(&self) -> bool {
        matches!(self, Error::TooLarge { .. })
            || matches!(self.code(), Code::InputInvalid | Code::NotFinite)
    }
}
