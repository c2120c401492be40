//! Which items a search may find, by what their fields hold.

use super::error::Error;
use super::fields::{Names, Value, ValueRef, value_of};

/// The deepest nesting of a filter.
const MAX_DEPTH: usize = 64;

/// A condition on an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The field holds one of these; a list, where one of its strings is among them.
    In {
        /// The field.
        field: String,
        /// What it may hold; lists never match.
        values: Vec<Value>,
    },
    /// No such field.
    Missing {
        /// The field.
        field: String,
    },
    /// The field holds a number or a string between two bounds. Strings are compared by their bytes.
    Range {
        /// The field.
        field: String,
        /// Lower bound and whether it belongs to the range.
        from: Option<(Bound, bool)>,
        /// Upper bound and whether it belongs to the range.
        to: Option<(Bound, bool)>,
    },
    /// The item has one of these ids.
    Ids(Vec<String>),
    /// All of these; with none, everything.
    And(Vec<Filter>),
    /// One of these; with none, nothing.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// For fields that hold numbers.
    Number(f64),
    /// For fields that hold strings.
    String(String),
}

/// A filter with the names of its fields looked up, to be asked about many items.
#[derive(Debug)]
pub enum Prepared<'f> {
    Never,
    In {
        name: u16,
        values: &'f [Value],
    },
    Missing {
        name: u16,
    },
    Range {
        name: u16,
        from: Option<&'f (Bound, bool)>,
        to: Option<&'f (Bound, bool)>,
    },
    Ids(std::collections::HashSet<&'f str>),
    And(Vec<Prepared<'f>>),
    Or(Vec<Prepared<'f>>),
    Not(Box<Prepared<'f>>),
}

impl Filter {
    /// Looks up the names of the fields.
    ///
    /// Fails when conditions are nested too deeply.
    pub fn prepare(&self, names: &Names) -> Result<Prepared<'_>, Error> {
        self.prepare_at(names, 0)
    }

    fn prepare_at(&self, names: &Names, depth: usize) -> Result<Prepared<'_>, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Filter {
                rule: "is nested more than 64 deep",
                found: String::new(),
            });
        }
        Ok(match self {
            Filter::In { field, values } => match names.place(field) {
                Some(name) => Prepared::In { name, values },
                None => Prepared::Never,
            },
            Filter::Missing { field } => match names.place(field) {
                Some(name) => Prepared::Missing { name },
                None => Prepared::And(Vec::new()),
            },
            Filter::Range { field, from, to } => match names.place(field) {
                Some(name) => Prepared::Range {
                    name,
                    from: from.as_ref(),
                    to: to.as_ref(),
                },
                None => Prepared::Never,
            },
            Filter::Ids(ids) => Prepared::Ids(ids.iter().map(String::as_str).collect()),
            Filter::And(filters) => Prepared::And(prepare_all(filters, names, depth)?),
            Filter::Or(filters) => Prepared::Or(prepare_all(filters, names, depth)?),
            Filter::Not(filter) => Prepared::Not(Box::new(filter.prepare_at(names, depth + 1)?)),
        })
    }
}

fn prepare_all<'f>(
    filters: &'f [Filter],
    names: &Names,
    depth: usize,
) -> Result<Vec<Prepared<'f>>, Error> {
    filters
        .iter()
        .map(|filter| filter.prepare_at(names, depth + 1))
        .collect()
}

impl Prepared<'_> {
    /// Whether an item meets the condition.
    pub fn matches(&self, id: &str, packed_fields: &[u8]) -> bool {
        match self {
            Prepared::Never => false,
            Prepared::In { name, values } => {
                value_of(packed_fields, *name).is_some_and(|found| is_among(found, values))
            }
            Prepared::Missing { name } => value_of(packed_fields, *name).is_none(),
            Prepared::Range { name, from, to } => {
                let Some(found) = value_of(packed_fields, *name) else {
                    return false;
                };
                let inside = |bound: &Option<&(Bound, bool)>, wanted| match bound {
                    None => true,
                    Some((bound, inclusive)) => match compare(&found, bound) {
                        Some(std::cmp::Ordering::Equal) => *inclusive,
                        ordering => ordering == Some(wanted),
                    },
                };
                inside(from, std::cmp::Ordering::Greater) && inside(to, std::cmp::Ordering::Less)
            }
            Prepared::Ids(ids) => ids.contains(id),
            Prepared::And(filters) => filters
                .iter()
                .all(|filter| filter.matches(id, packed_fields)),
            Prepared::Or(filters) => filters
                .iter()
                .any(|filter| filter.matches(id, packed_fields)),
            Prepared::Not(filter) => !filter.matches(id, packed_fields),
        }
    }
}

fn is_among(found: ValueRef<'_>, values: &[Value]) -> bool {
    match found {
        ValueRef::Bool(found) => values.contains(&Value::Bool(found)),
        ValueRef::Number(found) => values.contains(&Value::Number(found)),
        ValueRef::String(found) => is_string_among(found, values),
        ValueRef::Strings(mut found) => found.any(|found| is_string_among(found, values)),
    }
}

fn is_string_among(found: &str, values: &[Value]) -> bool {
    values
        .iter()
        .any(|value| matches!(value, Value::String(value) if value == found))
}

/// `None` where a number meets a string.
fn compare(found: &ValueRef<'_>, bound: &Bound) -> Option<std::cmp::Ordering> {
    match (found, bound) {
        (ValueRef::Number(found), Bound::Number(bound)) => found.partial_cmp(bound),
        (ValueRef::String(found), Bound::String(bound)) => Some((*found).cmp(bound)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::fields::Fields;

    fn holds(filter: &Filter) -> bool {
        let mut names = Names::default();
        let fields = Fields::from([
            ("lang".to_owned(), Value::String("de".to_owned())),
            ("year".to_owned(), Value::Number(1999.0)),
            (
                "tags".to_owned(),
                Value::Strings(vec!["a".to_owned(), "b".to_owned()]),
            ),
            ("draft".to_owned(), Value::Bool(false)),
        ]);
        let packed = names.pack(&fields).expect("packed");
        filter
            .prepare(&names)
            .expect("prepared")
            .matches("id-1", &packed)
    }

    fn among(field: &str, values: &[Value]) -> Filter {
        Filter::In {
            field: field.to_owned(),
            values: values.to_vec(),
        }
    }

    fn string(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn range(field: &str, from: Option<(Bound, bool)>, to: Option<(Bound, bool)>) -> Filter {
        Filter::Range {
            field: field.to_owned(),
            from,
            to,
        }
    }

    #[test]
    fn a_field_is_among_values_of_its_own_type_only() {
        assert!(holds(&among("lang", &[string("en"), string("de")])));
        assert!(!holds(&among("lang", &[string("en")])));
        assert!(holds(&among("year", &[Value::Number(1999.0)])));
        assert!(!holds(&among("year", &[string("1999")])));
        assert!(holds(&among("draft", &[Value::Bool(false)])));
        assert!(!holds(&among("unknown", &[string("de")])));
    }

    #[test]
    fn a_list_matches_by_any_of_its_strings() {
        assert!(holds(&among("tags", &[string("b")])));
        assert!(!holds(&among("tags", &[string("c")])));
    }

    #[test]
    fn a_missing_field_is_missing_and_in_no_range() {
        let missing = |field: &str| Filter::Missing {
            field: field.to_owned(),
        };
        assert!(holds(&missing("unknown")));
        assert!(!holds(&missing("lang")));
        assert!(!holds(&range("unknown", None, None)));
    }

    #[test]
    fn the_ends_of_a_range_belong_to_it_where_it_says_so() {
        let year = |value: f64, inclusive| Some((Bound::Number(value), inclusive));
        assert!(holds(&range("year", year(1999.0, true), None)));
        assert!(!holds(&range("year", year(1999.0, false), None)));
        assert!(holds(&range("year", None, year(1999.0, true))));
        assert!(!holds(&range("year", None, year(1999.0, false))));
        assert!(holds(&range(
            "year",
            year(1990.0, false),
            year(2000.0, false)
        )));
        let text = |value: &str| Some((Bound::String(value.to_owned()), true));
        assert!(holds(&range("lang", text("da"), text("df"))));
        assert!(!holds(&range("year", text("1"), None)));
    }

    #[test]
    fn conditions_combine() {
        let (yes, no) = (Filter::Ids(vec!["id-1".to_owned()]), Filter::Ids(vec![]));
        assert!(holds(&yes) && !holds(&no));
        assert!(holds(&Filter::And(vec![])) && !holds(&Filter::Or(vec![])));
        assert!(!holds(&Filter::And(vec![yes.clone(), no.clone()])));
        assert!(holds(&Filter::Or(vec![no.clone(), yes])));
        assert!(holds(&Filter::Not(Box::new(no))));
    }

    #[test]
    fn a_filter_that_is_nested_without_end_is_refused() {
        let mut filter = Filter::And(vec![]);
        for _ in 0..100 {
            filter = Filter::Not(Box::new(filter));
        }
        let refused = filter.prepare(&Names::default());
        assert!(matches!(refused, Err(Error::Filter { .. })));
    }
}
