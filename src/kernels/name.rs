//! What the text of a kernel has placeholders for. Every launch spells these names and hands them to
//! the runtime, which looks the compiled shader up by them: so none has letters of its own to keep.

use std::fmt;

/// A name in a kernel's text: a stem, and what tells it from others of that stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    stem: &'static str,
    suffix: Suffix,
}

/// The end of a name: letters, then up to two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Suffix {
    letters: &'static str,
    places: [Option<u16>; 2],
}

/// What stands for a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Text(Source),
    Suffix(Suffix),
    Number(usize),
    /// The bits of a number in f32.
    Float(u32),
}

/// The text of a kernel, or a part of it: known at compile time, and so is its hash.
#[derive(Clone, Copy)]
pub struct Source {
    text: &'static str,
    hash: u64,
}

impl Name {
    pub fn new(stem: &'static str, suffix: Suffix) -> Self {
        Name { stem, suffix }
    }

    /// The name of that stem with a number behind it.
    pub fn nth(stem: &'static str, place: usize) -> Self {
        Name::new(stem, Suffix::nth("", place))
    }

    /// Whether it is written like this.
    pub fn is(&self, text: &str) -> bool {
        text.strip_prefix(self.stem)
            .is_some_and(|rest| rest == self.suffix.to_string())
    }
}

impl From<&'static str> for Name {
    fn from(stem: &'static str) -> Self {
        Name::new(stem, Suffix::default())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", self.stem, self.suffix)
    }
}

impl Suffix {
    pub fn nth(letters: &'static str, place: usize) -> Self {
        Suffix {
            letters,
            places: [Some(place as u16), None],
        }
    }

    /// The two numbers one behind the other.
    pub fn pair(first: usize, second: usize) -> Self {
        Suffix {
            letters: "",
            places: [Some(first as u16), Some(second as u16)],
        }
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.letters)?;
        self.places
            .iter()
            .flatten()
            .try_for_each(|place| write!(f, "{place}"))
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Value::Float(value.to_bits())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Text(source) => f.write_str(source.text),
            Value::Suffix(suffix) => suffix.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Float(bits) => write!(f, "{:?}f", f32::from_bits(*bits)),
        }
    }
}

impl Source {
    /// Meant for constants.
    pub const fn new(text: &'static str) -> Self {
        // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
        let bytes = text.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        Source { text, hash }
    }

    pub fn text(&self) -> &'static str {
        self.text
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (std::ptr::eq(self.text, other.text) || self.text == other.text)
    }
}

impl Eq for Source {}

impl std::hash::Hash for Source {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Source({:x})", self.hash)
    }
}

/// A constant [`Source`] from a file beside this one.
macro_rules! source {
    ($path:literal) => {
        const { $crate::kernels::name::Source::new(include_str!($path)) }
    };
}
pub(super) use source;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_stem_letters_and_numbers() {
        let written = |name: Name| name.to_string();
        assert_eq!(written("m".into()), "m");
        assert_eq!(written(Name::nth("part_end_", 3)), "part_end_3");
        assert_eq!(
            written(Name::new("rows", Suffix::nth("_b", 12))),
            "rows_b12"
        );
        assert_eq!(written(Name::new("s", Suffix::pair(0, 1))), "s01");
        assert!(Name::nth("part_end_", 3).is("part_end_3"));
        assert!(!Name::nth("part_end_", 3).is("part_end_"));
        assert!(!Name::nth("part_end_", 3).is("part"));
    }

    #[test]
    fn a_scale_is_written_as_wgsl_reads_it() {
        assert_eq!(Value::from(1.0).to_string(), "1.0f");
        assert_eq!(Value::from(0.1).to_string(), "0.1f");
        assert_eq!(Value::from(1e-20).to_string(), "1e-20f");
    }

    #[test]
    fn sources_are_alike_where_their_texts_are() {
        let (a, b) = (String::from("fn f() {}"), String::from("fn f() {}"));
        let leaked = |text: String| Source::new(Box::leak(text.into_boxed_str()));
        assert_eq!(leaked(a), leaked(b));
        assert_ne!(Source::new("fn f() {}"), Source::new("fn g() {}"));
    }
}
