use crate::{Code, cpu, gguf::TensorInfo, text::Task};

/// Why files do not make a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("`{file}` has no tensor `{tensor}`, which needs shape {needed:?}")]
    MissingTensor {
        file: String,
        tensor: String,
        needed: Vec<usize>,
    },
    #[error("`{file}`: tensor `{tensor}` needs shape {needed:?}, found {found:?}")]
    WrongShape {
        file: String,
        tensor: String,
        needed: Vec<usize>,
        found: Vec<usize>,
    },
    #[error("`{file}`: tensor `{tensor}` occurs in two parts of the model")]
    RepeatedTensor { file: String, tensor: String },
    #[error("`{file}`: tensor `{tensor}` holds a value that is not finite near element {element}")]
    NotFinite {
        file: String,
        tensor: String,
        element: usize,
    },
    #[error("`{file}` needs {needed} bytes, but ended after {found}")]
    EndedEarly {
        file: String,
        needed: u64,
        found: u64,
    },
    #[error("`{file}` goes on after its last tensor: {found} bytes, needed {needed}")]
    TooLong {
        file: String,
        needed: u64,
        found: u64,
    },
    #[error("`{file}`: `{key}` is {found}, but this build needs {needed}")]
    Unsupported {
        file: String,
        key: String,
        needed: String,
        found: String,
    },
    #[error("`{file}`: {what} is {found}, which needs {needed}")]
    Inconsistent {
        file: String,
        what: String,
        needed: String,
        found: String,
    },
    #[error("`{file}` is an adapter for `{task}`, which another file was already")]
    RepeatedAdapter { file: String, task: Task },
    #[error("the files hold no {role} part, which every model needs")]
    MissingPart { role: &'static str },
    #[error(
        "`{file}`: tensor `{tensor}` needs {needed} bytes in one binding, the device offers {found}"
    )]
    TooLargeForDevice {
        file: String,
        tensor: String,
        needed: u64,
        found: u64,
    },
    #[error("`{file}`: tensor `{tensor}` needs {needed} bytes, which the memory does not hold")]
    OutOfMemory {
        file: String,
        tensor: String,
        needed: u64,
    },
    #[error("`{file}`: tensor `{tensor}`: {source}")]
    Matrix {
        file: String,
        tensor: String,
        source: cpu::Error,
    },
    #[error("a file was begun before `{file}` ended, or bytes came outside a file")]
    OutOfTurn { file: String },
}

impl Error {
    /// What became of a tensor of `file`.
    pub(super) fn of_matrix(file: &str, info: &TensorInfo, source: cpu::Error) -> Self {
        Error::Matrix {
            file: file.to_string(),
            tensor: info.name.clone(),
            source,
        }
    }

    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::Unsupported { .. } => Code::ModelUnsupported,
            Error::OutOfTurn { .. } => Code::Internal,
            Error::TooLargeForDevice { .. } => Code::LimitsInsufficient,
            Error::OutOfMemory { .. }
            | Error::Matrix {
                source: cpu::Error::OutOfMemory { .. },
                ..
            } => Code::OutOfMemory,
            _ => Code::ModelInvalid,
        }
    }
}
