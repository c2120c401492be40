//! JSON whose memory is bounded by the number of its values, not only by its bytes: `[[[],[],...`
//! takes ten times as much memory as text, so the number of values is limited while they are read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads one JSON value of at most `max_values` values, itself included.
///
/// Fails on anything else; the error says where and why.
pub fn parse(bytes: &[u8], max_values: usize) -> Result<Value, serde_json::Error> {
    let mut left = max_values;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Bounded {
        left: &mut left,
        max_values,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Bounded<'a> {
    left: &'a mut usize,
    max_values: usize,
}

impl Bounded<'_> {
    fn child(&mut self) -> Bounded<'_> {
        Bounded {
            left: self.left,
            max_values: self.max_values,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.checked_sub(1) {
            Some(left) => *self.left = left,
            None => {
                let max_values = self.max_values;
                return Err(D::Error::custom(format!("more than {max_values} values")));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.child())? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            map.insert(key, access.next_value_seed(self.child())?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_the_bound_is_read_as_serde_json_reads_it() {
        let text = r#"{"a": [1, -2, 2.5, "x", null, true], "b": {"c": "\u00e9"}}"#;
        let needed: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes(), 10).unwrap(), needed);
    }

    #[test]
    fn one_value_more_than_allowed_is_an_error() {
        assert!(parse(b"[1, 2, 3]", 4).is_ok());
        let error = parse(b"[1, 2, 3]", 3).unwrap_err();
        assert!(error.to_string().contains("more than 3 values"), "{error}");
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        assert!(parse(b"{} {}", 10).is_err());
        assert!(parse(b"", 10).is_err());
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), 1_000_000).is_err());
    }
}
