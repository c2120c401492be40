use crate::error::Code;

/// What can be wrong with a schema, an item, a query or an index file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the schema, or an option of a call, cannot be used.
    #[error("`{option}` needs {needed}, found {found}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it may be.
        needed: String,
        /// What was given.
        found: String,
    },
    /// A vector has another length than those of the index.
    #[error("{what} needs {needed} numbers, found {found}")]
    Dimensions {
        /// Which vector.
        what: String,
        /// Length (for a multi-vector: of each token).
        needed: usize,
        /// What was given.
        found: usize,
    },
    /// A vector lies in another space than those of the index.
    #[error(
        "the index holds {what} of the space `{needed}`, which cannot be compared with those of `{found}`"
    )]
    Space {
        /// Single vectors or multi-vectors.
        what: &'static str,
        /// The index's space.
        needed: String,
        /// The space that was given; empty where none was.
        found: String,
    },
    /// A number of a vector is NaN or infinite.
    #[error("{what}: number {element} is not finite")]
    NotFinite {
        /// Which vector.
        what: String,
        /// Where in it.
        element: usize,
    },
    /// A vector has no direction, or a length that cannot be computed with.
    #[error("{what} has the length {norm:e}; it needs to lie between 1e-15 and 1e15")]
    Norm {
        /// Which vector.
        what: String,
        /// Its Euclidean length.
        norm: f64,
    },
    /// A list of a batch has another length than its ids.
    #[error("a batch of {needed} ids has {found} {what}")]
    BatchLength {
        /// Which list.
        what: &'static str,
        /// Number of ids.
        needed: usize,
        /// Length of the list.
        found: usize,
    },
    /// An id is empty or too long.
    #[error("the id of item {index} has {found} bytes; it needs 1 to {max}")]
    IdLength {
        /// Position in the batch.
        index: usize,
        /// Longest that is accepted.
        max: usize,
        /// Its length in UTF-8.
        found: usize,
    },
    /// An id is there already, in the index or earlier in the batch.
    #[error("the id `{id}` of item {index} is there already, in {place}")]
    DuplicateId {
        /// Position in the batch.
        index: usize,
        /// The id.
        id: String,
        /// Where the other one is.
        place: &'static str,
    },
    /// No item has this id.
    #[error("no item has the id `{id}`")]
    UnknownId {
        /// The id.
        id: String,
    },
    /// A field holds something that is not stored, or its name cannot be used.
    #[error("field `{name}` {rule}")]
    Field {
        /// The field.
        name: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// A filter is not one of the known forms.
    #[error("the filter {rule}: {found}")]
    Filter {
        /// What it breaks.
        rule: &'static str,
        /// The part at fault.
        found: String,
    },
    /// A call came at the wrong time.
    #[error("{call} cannot be called while {state}")]
    Order {
        /// The method.
        call: &'static str,
        /// What is going on.
        state: &'static str,
    },
    /// The index would pass what it can count.
    #[error("an index holds at most {max} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// There is no memory for more; the index is as it was before the call.
    #[error("there is no memory for {n_bytes} more bytes")]
    OutOfMemory {
        /// What could not be had.
        n_bytes: u64,
    },
    /// The bytes are not an index file.
    #[error("this is no index file: {reason}")]
    NotAnIndex {
        /// What gave it away.
        reason: String,
    },
    /// A later version of this library wrote the file.
    #[error("the index file has format version {found}; this build reads version {needed}")]
    Version {
        /// What is read here.
        needed: u32,
        /// What the file says.
        found: u32,
    },
    /// The file ends before its first state.
    #[error("the index file ends after {n_bytes} bytes, before {needed}")]
    Incomplete {
        /// What there is.
        n_bytes: u64,
        /// What should have followed.
        needed: String,
    },
    /// Something in the file is not as it was written, and what follows it was committed.
    #[error("the index file is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where the damaged part begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
}

impl Error {
    /// The stable code of this error.
    pub fn code(&self) -> Code {
        match self {
            Error::Space { .. } => Code::SpaceMismatch,
            Error::DuplicateId { .. } => Code::DuplicateId,
            Error::OutOfMemory { .. } => Code::OutOfMemory,
            Error::NotAnIndex { .. } | Error::Incomplete { .. } | Error::Damaged { .. } => {
                Code::IndexInvalid
            }
            Error::Version { .. } => Code::IndexUnsupported,
            Error::Option { .. }
            | Error::Dimensions { .. }
            | Error::NotFinite { .. }
            | Error::Norm { .. }
            | Error::BatchLength { .. }
            | Error::IdLength { .. }
            | Error::UnknownId { .. }
            | Error::Field { .. }
            | Error::Filter { .. }
            | Error::Order { .. }
            | Error::TooMany { .. } => Code::InputInvalid,
        }
    }
}
