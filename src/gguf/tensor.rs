use super::error::Error;

/// Declares the supported types once: ggml's id, variant, elements and bytes per block.
macro_rules! tensor_types {
    ($($id:literal $variant:ident $block_elements:literal $block_bytes:literal;)*) => {
        /// How the elements of a tensor are stored: ggml's formats, by ggml's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, non_camel_case_types)]
        pub enum TensorType { $($variant,)* }

        impl TensorType {
            /// Every supported type.
            pub const ALL: &[TensorType] = &[$(TensorType::$variant,)*];

            /// The type of a ggml id, if it is supported.
            pub const fn from_id(id: u32) -> Option<TensorType> {
                match id { $($id => Some(TensorType::$variant),)* _ => None }
            }

            /// The id in a file.
            pub const fn id(self) -> u32 {
                match self { $(TensorType::$variant => $id,)* }
            }

            /// ggml's name.
            pub const fn name(self) -> &'static str {
                match self { $(TensorType::$variant => stringify!($variant),)* }
            }

            /// Elements per block; 1 where elements are stored one by one.
            pub const fn block_elements(self) -> usize {
                match self { $(TensorType::$variant => $block_elements,)* }
            }

            /// Bytes per block.
            pub const fn block_bytes(self) -> usize {
                match self { $(TensorType::$variant => $block_bytes,)* }
            }
        }
    };
}

tensor_types! {
    0 F32 1 4;
    1 F16 1 2;
    30 BF16 1 2;
    8 Q8_0 32 34;
    2 Q4_0 32 18;
    3 Q4_1 32 20;
    6 Q5_0 32 22;
    7 Q5_1 32 24;
    10 Q2_K 256 84;
    11 Q3_K 256 110;
    12 Q4_K 256 144;
    13 Q5_K 256 176;
    14 Q6_K 256 210;
    20 IQ4_NL 32 18;
    23 IQ4_XS 256 136;
}

impl TensorType {
    /// Bytes that `n_elements` take. `None` unless they are whole blocks of an addressable size.
    pub fn n_bytes(self, n_elements: u64) -> Option<u64> {
        let block_elements = self.block_elements() as u64;
        if !n_elements.is_multiple_of(block_elements) {
            return None;
        }
        (n_elements / block_elements).checked_mul(self.block_bytes() as u64)
    }

    /// The type with the id that tensor `name` carries.
    pub(super) fn of_tensor(name: &str, id: u32) -> Result<TensorType, Error> {
        TensorType::from_id(id).ok_or_else(|| match unsupported_name(id) {
            Some(type_name) => Error::UnsupportedTensorType {
                name: name.to_owned(),
                type_name,
            },
            None => Error::UnknownTensorType {
                name: name.to_owned(),
                found: id,
            },
        })
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The types of ggml that this crate does not decode, so that an error can name them.
const fn unsupported_name(id: u32) -> Option<&'static str> {
    Some(match id {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return None,
    })
}

/// One entry of the tensor table, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, unique in the file.
    pub name: String,
    /// Row-major, outermost first: a linear layer is `[out, in]`. (The file has it reversed.)
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub tensor_type: TensorType,
    /// Where the data begins, counted from the start of the file.
    pub offset: u64,
    /// How many bytes the data takes.
    pub n_bytes: u64,
}

impl TensorInfo {
    /// How many elements the tensor has.
    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Fails unless the tensor has exactly this shape.
    pub fn expect_shape(&self, needed: &[usize]) -> Result<(), Error> {
        if self.shape == needed {
            return Ok(());
        }
        Err(Error::WrongShape {
            name: self.name.clone(),
            needed: needed.to_vec(),
            found: self.shape.clone(),
        })
    }
}
