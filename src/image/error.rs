use crate::error::Code;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match *self {}
    }
}
