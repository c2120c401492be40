//! What an item carries besides its vectors, packed into one piece of memory for each item.
//!
//! A packed set of fields is a run of `name u16 · kind u8 · content`, in order of names:
//!
//! | kind | content |
//! | --- | --- |
//! | 0, 1 | none: false, true |
//! | 2 | a number, f64 |
//! | 3 | a string: length u32, UTF-8 |
//! | 4 | a list of strings: count u32, then each as above |
//!
//! All numbers are little-endian. A name is its place in the index's [`Names`].

use std::collections::BTreeMap;

use super::Error;

/// The longest name of a field in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The most names of fields in an index.
const MAX_NAMES: usize = 1 << 16;

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text.
    String(String),
    /// A list of texts, such as tags.
    Strings(Vec<String>),
}

/// The fields of an item by name.
pub type Fields = BTreeMap<String, Value>;

/// A value as it lies in packed fields.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueRef<'a> {
    Bool(bool),
    Number(f64),
    String(&'a str),
    Strings(Strings<'a>),
}

/// Packed strings that were checked when they were packed or read.
#[derive(Debug, Clone, PartialEq)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut cursor = Cursor(self.0);
        let string = cursor.string()?;
        self.0 = cursor.0;
        Some(string)
    }
}

/// The names of fields, each known by its place.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<String>,
    places: BTreeMap<String, u16>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The place of a name that some item had.
    pub fn place(&self, name: &str) -> Option<u16> {
        self.places.get(name).copied()
    }

    /// The names from a place on.
    pub fn since(&self, place: usize) -> &[String] {
        self.names.get(place..).unwrap_or_default()
    }

    /// Finds or adds a name.
    ///
    /// Fails when it is empty or too long, or when there are too many.
    pub fn intern(&mut self, name: &str) -> Result<u16, Error> {
        if let Some(place) = self.place(name) {
            return Ok(place);
        }
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
            return Err(Error::Field {
                name: name.chars().take(40).collect(),
                rule: "needs a name of 1 to 256 bytes",
            });
        }
        if self.names.len() == MAX_NAMES {
            return Err(Error::TooMany {
                what: "names of fields",
                max: MAX_NAMES,
            });
        }
        let place = self.names.len() as u16;
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        Ok(place)
    }

    /// Forgets the names from a place on.
    pub fn truncate(&mut self, len: usize) {
        for name in self.names.drain(len..) {
            self.places.remove(&name);
        }
    }

    /// Packs the fields of an item.
    ///
    /// Fails on a name or a number that is not stored; names may have been added by then.
    pub fn pack(&mut self, fields: &Fields) -> Result<Box<[u8]>, Error> {
        let mut packed = Vec::new();
        for (name, value) in fields {
            packed.extend(self.intern(name)?.to_le_bytes());
            let bad = |rule| Error::Field {
                name: name.clone(),
                rule,
            };
            match value {
                Value::Bool(value) => packed.push(u8::from(*value)),
                Value::Number(value) => {
                    if !value.is_finite() {
                        return Err(bad("needs a finite number"));
                    }
                    packed.push(2);
                    packed.extend(value.to_le_bytes());
                }
                Value::String(value) => {
                    packed.push(3);
                    push_string(&mut packed, value).ok_or_else(|| bad("is longer than 4 GB"))?;
                }
                Value::Strings(values) => {
                    packed.push(4);
                    let count = u32::try_from(values.len())
                        .map_err(|_| bad("is a list of more than 2^32"))?;
                    packed.extend(count.to_le_bytes());
                    for value in values {
                        push_string(&mut packed, value)
                            .ok_or_else(|| bad("is longer than 4 GB"))?;
                    }
                }
            }
        }
        Ok(packed.into())
    }

    /// The fields by name.
    pub fn unpack(&self, packed: &[u8]) -> Fields {
        let named = Packed(packed).filter_map(|(name, value)| {
            let value = match value {
                ValueRef::Bool(value) => Value::Bool(value),
                ValueRef::Number(value) => Value::Number(value),
                ValueRef::String(value) => Value::String(value.to_owned()),
                ValueRef::Strings(values) => Value::Strings(values.map(str::to_owned).collect()),
            };
            Some((self.names.get(usize::from(name))?.clone(), value))
        });
        named.collect()
    }

    /// Whether some bytes are packed fields of these names, to their last byte.
    pub fn is_sound(&self, packed: &[u8]) -> bool {
        let mut cursor = Cursor(packed);
        while !cursor.0.is_empty() {
            match cursor.field() {
                Some((name, _)) if usize::from(name) < self.names.len() => {}
                _ => return false,
            }
        }
        true
    }
}

/// The value of the field with this name.
pub fn value_of(packed: &[u8], name: u16) -> Option<ValueRef<'_>> {
    Packed(packed)
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Walks over packed fields.
struct Packed<'a>(&'a [u8]);

impl<'a> Iterator for Packed<'a> {
    type Item = (u16, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = Cursor(self.0);
        let field = cursor.field()?;
        self.0 = cursor.0;
        Some(field)
    }
}

fn push_string(to: &mut Vec<u8>, value: &str) -> Option<()> {
    to.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
    to.extend(value.as_bytes());
    Some(())
}

/// Reads from the front; `None` where the bytes end early or break a rule.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn string(&mut self) -> Option<&'a str> {
        let n = u32::from_le_bytes(self.array()?);
        std::str::from_utf8(self.bytes(n as usize)?).ok()
    }

    fn field(&mut self) -> Option<(u16, ValueRef<'a>)> {
        let name = u16::from_le_bytes(self.array()?);
        let [kind] = self.array()?;
        let value = match kind {
            0 | 1 => ValueRef::Bool(kind == 1),
            2 => {
                let number = f64::from_le_bytes(self.array()?);
                number.is_finite().then_some(ValueRef::Number(number))?
            }
            3 => ValueRef::String(self.string()?),
            4 => {
                let count = u32::from_le_bytes(self.array()?);
                let all = self.0;
                for _ in 0..count {
                    self.string()?;
                }
                ValueRef::Strings(Strings(&all[..all.len() - self.0.len()]))
            }
            _ => return None,
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let strings =
            |values: &[&str]| Value::Strings(values.iter().map(|s| s.to_string()).collect());
        Fields::from([
            ("yes".to_owned(), Value::Bool(true)),
            ("no".to_owned(), Value::Bool(false)),
            ("year".to_owned(), Value::Number(-1.5)),
            (
                "text".to_owned(),
                Value::String("schön \u{1F600}".to_owned()),
            ),
            ("tags".to_owned(), strings(&["a", "", "b"])),
            ("none".to_owned(), strings(&[])),
        ])
    }

    #[test]
    fn fields_come_back_as_they_were_packed() {
        let mut names = Names::default();
        let packed = names.pack(&fields()).expect("packed");
        assert_eq!(names.unpack(&packed), fields());
        assert!(names.is_sound(&packed));
        let year = names.place("year").expect("known");
        assert_eq!(value_of(&packed, year), Some(ValueRef::Number(-1.5)));
        assert_eq!(value_of(&packed, 99), None);
    }

    #[test]
    fn every_cut_is_noticed_unless_it_falls_between_two_fields() {
        let mut names = Names::default();
        let packed = names.pack(&fields()).expect("packed");
        let sound = (0..=packed.len()).filter(|end| names.is_sound(&packed[..*end]));
        assert_eq!(sound.count(), fields().len() + 1);
    }

    #[test]
    fn no_change_of_a_byte_is_a_panic() {
        let mut names = Names::default();
        let packed = names.pack(&fields()).expect("packed");
        for at in 0..packed.len() {
            for value in 0..=255 {
                let mut changed = packed.clone();
                changed[at] = value;
                if names.is_sound(&changed) {
                    names.unpack(&changed);
                }
            }
        }
    }

    #[test]
    fn a_number_that_is_none_and_a_name_that_is_none_are_refused() {
        let mut names = Names::default();
        for (name, value) in [("x", Value::Number(f64::NAN)), ("", Value::Bool(true))] {
            let fields = Fields::from([(name.to_owned(), value)]);
            assert!(matches!(names.pack(&fields), Err(Error::Field { .. })));
        }
        let long = Fields::from([("n".repeat(257), Value::Bool(true))]);
        assert!(matches!(names.pack(&long), Err(Error::Field { .. })));
    }
}
