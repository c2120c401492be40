use crate::gguf::TensorType;

/// Why a matrix cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "rows of {k} elements are not whole blocks of {tensor_type}, which have {block_elements}"
    )]
    NotBlocks {
        tensor_type: TensorType,
        k: usize,
        block_elements: usize,
    },
    #[error("a matrix {shape:?} of {tensor_type} has {needed} bytes, found {found}")]
    WrongLength {
        tensor_type: TensorType,
        shape: [usize; 2],
        needed: usize,
        found: usize,
    },
    #[error("no memory for a matrix {shape:?} of {tensor_type}")]
    OutOfMemory {
        tensor_type: TensorType,
        shape: [usize; 2],
    },
}
