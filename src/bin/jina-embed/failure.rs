use std::fmt;
use std::path::Path;

use jina_embeddings_web::{Code, Error, convert, gguf};

/// Why the command ends with status 1; shown as `error[CODE]: message`.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A failure with a message of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// For `map_err`: a failure of the file system at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        move |error| Failure::new(Code::Io, format!("{}: {error}", path.display()))
    }

    /// Puts the file that the message is about before it.
    pub fn at(self, path: &Path) -> Failure {
        Failure {
            message: format!("{}: {}", path.display(), self.message),
            ..self
        }
    }

    /// The message without the code.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::new(error.code(), error.to_string())
    }
}

impl From<gguf::Error> for Failure {
    fn from(error: gguf::Error) -> Failure {
        Failure::new(error.code(), error.to_string())
    }
}

impl From<convert::Error> for Failure {
    fn from(error: convert::Error) -> Failure {
        Failure::new(error.code(), error.to_string())
    }
}
