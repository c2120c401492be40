use std::collections::HashMap;

use super::error::Error;
use super::value::{Array, Strings, Value};

/// The keys and values of a file, in file order.
///
/// The typed getters fail with an error that names the key, what was needed and what was found.
/// Integers of any width are accepted where the number fits, because writers differ in the width
/// they choose. Each getter has an `opt_` form, for which a missing key is `None` and a wrong type
/// still an error.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

/// Declares a getter and its `opt_` form from one conversion.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident, $opt_name:ident -> $type:ty, $needed:literal, $read:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// Fails if the key is missing or holds something else.
        pub fn $name(&self, key: &str) -> Result<$type, Error> {
            self.$opt_name(key)?
                .ok_or_else(|| Error::KeyMissing { key: key.to_owned(), needed: $needed })
        }

        $(#[$doc])*
        /// `None` if the key is missing.
        ///
        /// Fails if the key holds something else.
        pub fn $opt_name(&self, key: &str) -> Result<Option<$type>, Error> {
            self.get(key).map(|value| $read(value, key, $needed)).transpose()
        }
    )*};
}

impl Metadata {
    /// No keys yet.
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// Appends a key.
    ///
    /// Fails if the key is there already.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) -> Result<(), Error> {
        if self.index.contains_key(key) {
            return Err(Error::DuplicateKey {
                key: key.to_owned(),
            });
        }
        self.index.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), value.into()));
        Ok(())
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|at| &self.entries[*at].1)
    }

    /// Takes a key out with its value, if it is there.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.index.remove(key)?;
        for later in self.index.values_mut().filter(|later| **later > at) {
            *later -= 1;
        }
        Some(self.entries.remove(at).1)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    getters! {
        /// An integer between 0 and 2³² - 1.
        u32, opt_u32 -> u32, "an integer between 0 and 4294967295", read_u32;
        /// A floating-point number.
        f32, opt_f32 -> f32, "a floating-point number", read_f32;
        /// A boolean.
        bool, opt_bool -> bool, "a boolean", read_bool;
        /// A string.
        str, opt_str -> &str, "a string", read_str;
        /// An array of integers between 0 and 2³² - 1.
        u32s, opt_u32s -> Vec<u32>, "an array of integers between 0 and 4294967295", read_u32s;
        /// An array of floating-point numbers.
        f32s, opt_f32s -> Vec<f32>, "an array of floating-point numbers", read_f32s;
        /// An array of booleans.
        bools, opt_bools -> &[bool], "an array of booleans", read_bools;
        /// An array of strings.
        strs, opt_strs -> &Strings, "an array of strings", read_strs;
    }
}

fn wrong_type(value: &Value, key: &str, needed: &'static str) -> Error {
    Error::KeyType {
        key: key.to_owned(),
        needed,
        found: value.type_name(),
    }
}

fn fit_u32<T>(value: T, key: &str, needed: &'static str) -> Result<u32, Error>
where
    T: TryInto<u32> + std::fmt::Display + Copy,
{
    value.try_into().map_err(|_| Error::KeyRange {
        key: key.to_owned(),
        needed,
        found: value.to_string(),
    })
}

fn read_u32(value: &Value, key: &str, needed: &'static str) -> Result<u32, Error> {
    match value {
        Value::U8(n) => Ok(u32::from(*n)),
        Value::U16(n) => Ok(u32::from(*n)),
        Value::U32(n) => Ok(*n),
        Value::U64(n) => fit_u32(*n, key, needed),
        Value::I8(n) => fit_u32(*n, key, needed),
        Value::I16(n) => fit_u32(*n, key, needed),
        Value::I32(n) => fit_u32(*n, key, needed),
        Value::I64(n) => fit_u32(*n, key, needed),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_u32s(value: &Value, key: &str, needed: &'static str) -> Result<Vec<u32>, Error> {
    fn all<T>(items: &[T], key: &str, needed: &'static str) -> Result<Vec<u32>, Error>
    where
        T: TryInto<u32> + std::fmt::Display + Copy,
    {
        items
            .iter()
            .map(|item| fit_u32(*item, key, needed))
            .collect()
    }
    match value {
        Value::Array(Array::U8(items)) => all(items, key, needed),
        Value::Array(Array::U16(items)) => all(items, key, needed),
        Value::Array(Array::U32(items)) => Ok(items.clone()),
        Value::Array(Array::U64(items)) => all(items, key, needed),
        Value::Array(Array::I8(items)) => all(items, key, needed),
        Value::Array(Array::I16(items)) => all(items, key, needed),
        Value::Array(Array::I32(items)) => all(items, key, needed),
        Value::Array(Array::I64(items)) => all(items, key, needed),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_f32(value: &Value, key: &str, needed: &'static str) -> Result<f32, Error> {
    match value {
        Value::F32(n) => Ok(*n),
        Value::F64(n) => Ok(*n as f32),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_f32s(value: &Value, key: &str, needed: &'static str) -> Result<Vec<f32>, Error> {
    match value {
        Value::Array(Array::F32(items)) => Ok(items.clone()),
        Value::Array(Array::F64(items)) => Ok(items.iter().map(|n| *n as f32).collect()),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_bool(value: &Value, key: &str, needed: &'static str) -> Result<bool, Error> {
    match value {
        Value::Bool(value) => Ok(*value),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_bools<'a>(value: &'a Value, key: &str, needed: &'static str) -> Result<&'a [bool], Error> {
    match value {
        Value::Array(Array::Bool(items)) => Ok(items),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_str<'a>(value: &'a Value, key: &str, needed: &'static str) -> Result<&'a str, Error> {
    match value {
        Value::String(value) => Ok(value),
        _ => Err(wrong_type(value, key, needed)),
    }
}

fn read_strs<'a>(value: &'a Value, key: &str, needed: &'static str) -> Result<&'a Strings, Error> {
    match value {
        Value::Array(Array::String(items)) => Ok(items),
        _ => Err(wrong_type(value, key, needed)),
    }
}
