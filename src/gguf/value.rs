//! Metadata values. Arrays are typed, and strings of an array lie in one buffer: a vocabulary of
//! 151,936 tokens and as many merges takes two allocations each, not three hundred thousand.

use super::cursor::{Cursor, Stop};
use super::error::Error;

/// Many strings in one allocation, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
}

impl Strings {
    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String number `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// Appends a string.
    pub fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Strings {
        let mut all = Strings::default();
        for string in strings {
            all.push(string.as_ref());
        }
        all
    }
}

/// Declares the number types once: id in the file, variant, Rust type, name in messages.
macro_rules! numbers {
    ($($id:literal $variant:ident $rust:ty, $name:literal;)*) => {
        /// A value of the metadata.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Value { $($variant($rust),)* Bool(bool), String(String), Array(Array) }

        /// An array of the metadata. The format knows arrays of arrays too; no model uses them, and
        /// neither llama.cpp nor this reader takes them.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Array { $($variant(Vec<$rust>),)* Bool(Vec<bool>), String(Strings) }

        impl Value {
            /// The type in words, for messages.
            pub fn type_name(&self) -> String {
                match self {
                    $(Value::$variant(_) => $name.to_owned(),)*
                    Value::Bool(_) => "bool".to_owned(),
                    Value::String(_) => "string".to_owned(),
                    Value::Array(array) => format!("array of {}", array.type_name()),
                }
            }

            pub(super) fn type_id(&self) -> u32 {
                match self {
                    $(Value::$variant(_) => $id,)*
                    Value::Bool(_) => BOOL,
                    Value::String(_) => STRING,
                    Value::Array(_) => ARRAY,
                }
            }

            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Value::$variant(value) => out.extend_from_slice(&value.to_le_bytes()),)*
                    Value::Bool(value) => out.push(u8::from(*value)),
                    Value::String(value) => write_string(value, out),
                    Value::Array(array) => {
                        out.extend_from_slice(&array.type_id().to_le_bytes());
                        out.extend_from_slice(&(array.len() as u64).to_le_bytes());
                        array.write(out);
                    }
                }
            }

            /// Reads the value of `key`, whose type id has just been read.
            pub(super) fn read(cursor: &mut Cursor, key: &str, id: u32) -> Result<Value, Stop> {
                let what = || format!("the value of key `{key}`");
                Ok(match id {
                    $($id => Value::$variant(<$rust>::from_le_bytes(cursor.array(what)?)),)*
                    BOOL => Value::Bool(read_bool(cursor.array::<1>(what)?[0], key)?),
                    STRING => Value::String(cursor.string(what)?.to_owned()),
                    ARRAY => {
                        let id = cursor.u32(what)?;
                        let n_items = cursor.u64(what)?;
                        Value::Array(Array::read(cursor, key, id, n_items)?)
                    }
                    found => return Err(Error::UnknownValueType { key: key.to_owned(), found }.into()),
                })
            }
        }

        impl Array {
            /// How many elements the array has.
            pub fn len(&self) -> usize {
                match self {
                    $(Array::$variant(items) => items.len(),)*
                    Array::Bool(items) => items.len(),
                    Array::String(items) => items.len(),
                }
            }

            /// Whether the array has no element.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The type of the elements in words.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $(Array::$variant(_) => $name,)*
                    Array::Bool(_) => "bool",
                    Array::String(_) => "string",
                }
            }

            fn type_id(&self) -> u32 {
                match self {
                    $(Array::$variant(_) => $id,)*
                    Array::Bool(_) => BOOL,
                    Array::String(_) => STRING,
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Array::$variant(items) => {
                        out.extend(items.iter().flat_map(|item| item.to_le_bytes()));
                    })*
                    Array::Bool(items) => out.extend(items.iter().map(|item| u8::from(*item))),
                    Array::String(items) => items.iter().for_each(|item| write_string(item, out)),
                }
            }

            fn read(cursor: &mut Cursor, key: &str, id: u32, n_items: u64) -> Result<Array, Stop> {
                let what = || format!("the array of key `{key}`, which claims {n_items} elements,");
                Ok(match id {
                    $($id => {
                        const N_BYTES: usize = size_of::<$rust>();
                        let bytes = cursor.take(n_items, N_BYTES as u64, what)?;
                        let items = bytes.as_chunks::<N_BYTES>().0.iter();
                        Array::$variant(items.map(|item| <$rust>::from_le_bytes(*item)).collect())
                    })*
                    BOOL => {
                        let bytes = cursor.take(n_items, 1, what)?;
                        let items = bytes.iter().map(|byte| read_bool(*byte, key));
                        Array::Bool(items.collect::<Result<_, _>>()?)
                    }
                    STRING => {
                        // Each string takes eight bytes for its length alone.
                        cursor.demand(n_items, 8, what)?;
                        let mut items = Strings::default();
                        items.ends.reserve_exact(n_items as usize);
                        for index in 0..n_items {
                            items.push(cursor.string(|| format!("string {index} of key `{key}`"))?);
                        }
                        items.text.shrink_to_fit();
                        Array::String(items)
                    }
                    ARRAY => return Err(Error::NestedArray { key: key.to_owned() }.into()),
                    found => return Err(Error::UnknownValueType { key: key.to_owned(), found }.into()),
                })
            }
        }

        $(
            impl From<$rust> for Value {
                fn from(value: $rust) -> Value { Value::$variant(value) }
            }
            impl From<Vec<$rust>> for Value {
                fn from(items: Vec<$rust>) -> Value { Value::Array(Array::$variant(items)) }
            }
        )*
    };
}

const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

numbers! {
    0 U8 u8, "u8";
    1 I8 i8, "i8";
    2 U16 u16, "u16";
    3 I16 i16, "i16";
    4 U32 u32, "u32";
    5 I32 i32, "i32";
    6 F32 f32, "f32";
    10 U64 u64, "u64";
    11 I64 i64, "i64";
    12 F64 f64, "f64";
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value)
    }
}

impl From<Strings> for Value {
    fn from(items: Strings) -> Value {
        Value::Array(Array::String(items))
    }
}

impl From<Vec<bool>> for Value {
    fn from(items: Vec<bool>) -> Value {
        Value::Array(Array::Bool(items))
    }
}

fn read_bool(byte: u8, key: &str) -> Result<bool, Error> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(Error::BadBool {
            key: key.to_owned(),
            found,
        }),
    }
}

pub(super) fn write_string(string: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u64).to_le_bytes());
    out.extend_from_slice(string.as_bytes());
}
