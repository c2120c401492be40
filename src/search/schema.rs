//! What an index holds, fixed when it is made and stored in its file.

use super::Error;

/// The longest vector of an index, so that sums of products of bytes stay inside 32 bits.
pub const MAX_DIMENSIONS: usize = 16_384;
/// The longest name of a space in bytes.
pub const MAX_SPACE_BYTES: usize = 1_024;

/// How alike two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// The cosine of their angle, -1 to 1.
    #[default]
    Cosine,
    /// Their inner product.
    Dot,
}

/// One kind of vector: how long it is and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Names model, adapter, pooling and length. Only vectors of one space are compared.
    pub name: String,
    /// Numbers of a vector, or of each vector of a multi-vector.
    pub dimensions: usize,
}

/// The vectors of each item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vectors {
    /// One.
    Single(Space),
    /// One for each token.
    Multi(Space),
    /// One, and for each item that has them one for each token.
    Both {
        /// Of the one.
        single: Space,
        /// Of the tokens.
        multi: Space,
    },
}

/// What a search reads of every item, to pick those whose full vectors it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstStage {
    /// Everything: the full vectors.
    #[default]
    None,
    /// The first numbers of the full vectors (Matryoshka).
    Float32 {
        /// How many.
        dimensions: usize,
    },
    /// A byte for each number, with a scale for each vector.
    Int8 {
        /// How many numbers.
        dimensions: usize,
    },
    /// A bit for each number: its sign.
    Binary {
        /// How many numbers.
        dimensions: usize,
    },
}

/// How the vectors of tokens are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenStorage {
    /// As they came.
    Float32,
    /// A byte for each number, with a scale for each token: a quarter of the memory.
    #[default]
    Int8,
}

/// What an index holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The vectors of each item.
    pub vectors: Vectors,
    /// How they are compared.
    pub metric: Metric,
    /// How a search begins.
    pub first_stage: FirstStage,
    /// How the vectors of tokens are kept.
    pub token_storage: TokenStorage,
}

impl Schema {
    /// The space of single vectors, where items have them.
    pub fn single(&self) -> Option<&Space> {
        match &self.vectors {
            Vectors::Single(single) | Vectors::Both { single, .. } => Some(single),
            Vectors::Multi(_) => None,
        }
    }

    /// The space of multi-vectors, where items have them.
    pub fn multi(&self) -> Option<&Space> {
        match &self.vectors {
            Vectors::Multi(multi) | Vectors::Both { multi, .. } => Some(multi),
            Vectors::Single(_) => None,
        }
    }

    /// Length of the one vector that stands for an item in the first stage: the single vector, or
    /// the mean of its tokens.
    pub(super) fn row_dimensions(&self) -> usize {
        match &self.vectors {
            Vectors::Single(space) | Vectors::Multi(space) => space.dimensions,
            Vectors::Both { single, .. } => single.dimensions,
        }
    }

    /// Fails when a length is 0 or too large, a name is empty or too long, or the first stage reads
    /// more numbers than there are.
    pub fn check(&self) -> Result<(), Error> {
        for (option, space) in [
            ("dimensions", self.single()),
            ("multivectorDimensions", self.multi()),
        ] {
            let Some(space) = space else { continue };
            if !(1..=MAX_DIMENSIONS).contains(&space.dimensions) {
                return Err(Error::Option {
                    option,
                    needed: format!("a number between 1 and {MAX_DIMENSIONS}"),
                    found: space.dimensions.to_string(),
                });
            }
        }
        for (option, space) in [("space", self.single()), ("multivectorSpace", self.multi())] {
            let Some(space) = space else { continue };
            if !(1..=MAX_SPACE_BYTES).contains(&space.name.len()) {
                return Err(Error::Option {
                    option,
                    needed: format!("a name of 1 to {MAX_SPACE_BYTES} bytes"),
                    found: format!("{} bytes", space.name.len()),
                });
            }
        }
        let all = self.row_dimensions();
        let (read, most) = match self.first_stage {
            FirstStage::None => return Ok(()),
            // All of them is no first stage.
            FirstStage::Float32 { dimensions } => (dimensions, all - 1),
            FirstStage::Int8 { dimensions } | FirstStage::Binary { dimensions } => {
                (dimensions, all)
            }
        };
        if !(1..=most).contains(&read) {
            return Err(Error::Option {
                option: "firstStage.dimensions",
                needed: format!("a number between 1 and {most}"),
                found: read.to_string(),
            });
        }
        Ok(())
    }
}
