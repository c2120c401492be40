//! Schemas, fields and filters as JSON, the form in which they come from JavaScript.
//!
//! | | |
//! | --- | --- |
//! | schema | `{dimensions, space, multivectorDimensions, multivectorSpace, metric, firstStage: {kind, dimensions}, multivectorStorage}` |
//! | fields | an object of strings, numbers, booleans, lists of strings; `null` is left out |
//! | filter | `{field, equals}` (`null`: missing), `{field, in: [..]}`, `{field, gte, gt, lte, lt}`, `{ids: [..]}`, `{and: [..]}`, `{or: [..]}`, `{not: ..}` |
//!
//! An unknown key is an error: a misspelt filter must not find everything.

use serde_json::{Map, Value as Json};

use super::Error;
use super::fields::{Fields, Value};
use super::filter::{Bound, Filter};
use super::schema::{FirstStage, Metric, Schema, Space, TokenStorage, Vectors};

impl Schema {
    /// Reads a schema and checks it.
    pub fn from_json(json: &Json) -> Result<Schema, Error> {
        let object = Object::new(
            json,
            "schema",
            &[
                "dimensions",
                "space",
                "multivectorDimensions",
                "multivectorSpace",
                "metric",
                "firstStage",
                "multivectorStorage",
            ],
        )?;
        let single = object.space("dimensions", "space")?;
        let multi = object.space("multivectorDimensions", "multivectorSpace")?;
        let vectors = match (single, multi) {
            (Some(single), Some(multi)) => Vectors::Both { single, multi },
            (Some(single), None) => Vectors::Single(single),
            (None, Some(multi)) => Vectors::Multi(multi),
            (None, None) => {
                return Err(option(
                    "dimensions",
                    "this or multivectorDimensions",
                    &Json::Null,
                ));
            }
        };
        let metric = object.choice(
            "metric",
            &[("cosine", Metric::Cosine), ("dot", Metric::Dot)],
        )?;
        let storage = [
            ("int8", TokenStorage::Int8),
            ("float32", TokenStorage::Float32),
        ];
        let token_storage = object.choice("multivectorStorage", &storage)?;
        let mut schema = Schema {
            vectors,
            metric,
            first_stage: FirstStage::None,
            token_storage,
        };
        if let Some(stage) = object.get("firstStage") {
            let object = Object::new(stage, "firstStage", &["kind", "dimensions"])?;
            let all = schema.row_dimensions();
            let given = object.size("dimensions")?;
            // Bits and bytes are read of all numbers unless told otherwise.
            let dimensions = given.unwrap_or(all);
            schema.first_stage = object.choice(
                "kind",
                &[
                    ("none", FirstStage::None),
                    ("float32", FirstStage::Float32 { dimensions }),
                    ("int8", FirstStage::Int8 { dimensions }),
                    ("binary", FirstStage::Binary { dimensions }),
                ],
            )?;
        }
        schema.check()?;
        Ok(schema)
    }

    /// The schema with everything that was left out.
    pub fn to_json(&self) -> Json {
        let mut json = Map::new();
        for (length, name, space) in [
            ("dimensions", "space", self.single()),
            ("multivectorDimensions", "multivectorSpace", self.multi()),
        ] {
            if let Some(space) = space {
                json.insert(length.into(), space.dimensions.into());
                json.insert(name.into(), space.name.as_str().into());
            }
        }
        let metric = match self.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
        };
        json.insert("metric".into(), metric.into());
        let (kind, dimensions) = match self.first_stage {
            FirstStage::None => ("none", None),
            FirstStage::Float32 { dimensions } => ("float32", Some(dimensions)),
            FirstStage::Int8 { dimensions } => ("int8", Some(dimensions)),
            FirstStage::Binary { dimensions } => ("binary", Some(dimensions)),
        };
        let mut stage = Map::from_iter([("kind".to_owned(), Json::from(kind))]);
        stage.extend(dimensions.map(|dimensions| ("dimensions".to_owned(), dimensions.into())));
        json.insert("firstStage".into(), stage.into());
        if self.multi().is_some() {
            let storage = match self.token_storage {
                TokenStorage::Float32 => "float32",
                TokenStorage::Int8 => "int8",
            };
            json.insert("multivectorStorage".into(), storage.into());
        }
        json.into()
    }
}

impl Filter {
    /// Reads a filter.
    pub fn from_json(json: &Json) -> Result<Filter, Error> {
        let bad = |rule| Error::Filter {
            rule,
            found: shortened(json),
        };
        let form = "is none of {field, equals}, {field, in}, {field, gte, gt, lte, lt}, {ids}, {and}, {or}, {not}";
        let object = json.as_object().ok_or_else(|| bad(form))?;
        let Some(field) = object.get("field") else {
            let mut entries = object.iter();
            let (Some((key, value)), None) = (entries.next(), entries.next()) else {
                return Err(bad(form));
            };
            let filters = || -> Result<Vec<Filter>, Error> {
                let list = value
                    .as_array()
                    .ok_or_else(|| bad("needs a list of filters"))?;
                list.iter().map(Filter::from_json).collect()
            };
            return match key.as_str() {
                "and" => Ok(Filter::And(filters()?)),
                "or" => Ok(Filter::Or(filters()?)),
                "not" => Ok(Filter::Not(Box::new(Filter::from_json(value)?))),
                "ids" => {
                    let ids = strings(value).ok_or_else(|| bad("needs a list of ids"))?;
                    Ok(Filter::Ids(ids))
                }
                _ => Err(bad(form)),
            };
        };
        let field = field
            .as_str()
            .ok_or_else(|| bad("names a field by something else than a string"))?
            .to_owned();
        let keys: Vec<&str> = object
            .keys()
            .map(String::as_str)
            .filter(|key| *key != "field")
            .collect();
        match keys[..] {
            ["equals"] => match &object["equals"] {
                Json::Null => Ok(Filter::Missing { field }),
                value => {
                    let value = scalar(value)
                        .ok_or_else(|| bad("compares with something else than a scalar"))?;
                    Ok(Filter::In {
                        field,
                        values: vec![value],
                    })
                }
            },
            ["in"] => {
                let values = object["in"]
                    .as_array()
                    .and_then(|values| values.iter().map(scalar).collect());
                let values = values.ok_or_else(|| bad("needs a list of scalars after `in`"))?;
                Ok(Filter::In { field, values })
            }
            [] => Err(bad(form)),
            _ => {
                let (mut from, mut to) = (None, None);
                for key in keys {
                    let end = match key {
                        "gte" | "gt" => &mut from,
                        "lte" | "lt" => &mut to,
                        _ => return Err(bad(form)),
                    };
                    let bound = match &object[key] {
                        Json::String(text) => Bound::String(text.clone()),
                        Json::Number(number) => Bound::Number(
                            number
                                .as_f64()
                                .ok_or_else(|| bad("has a number that is none"))?,
                        ),
                        _ => return Err(bad("needs a number or a string at the end of a range")),
                    };
                    if end.replace((bound, key.ends_with('e'))).is_some() {
                        return Err(bad("has two ends on one side of a range"));
                    }
                }
                Ok(Filter::Range { field, from, to })
            }
        }
    }
}

/// Reads the fields of an item; `null` stands for none.
pub fn fields_from_json(json: &Json) -> Result<Fields, Error> {
    let bad = |name: &str, rule| Error::Field {
        name: name.to_owned(),
        rule,
    };
    match json {
        Json::Null => Ok(Fields::new()),
        Json::Object(object) => {
            let present = object.iter().filter(|(_, value)| !value.is_null());
            let read = present.map(|(name, value)| {
                let value = scalar(value).or_else(|| strings(value).map(Value::Strings));
                let rule = "needs a string, a number, a boolean or a list of strings";
                Ok((name.clone(), value.ok_or_else(|| bad(name, rule))?))
            });
            read.collect()
        }
        _ => Err(bad("", "belongs to fields that are no object")),
    }
}

/// The fields as an object.
pub fn fields_to_json(fields: Fields) -> Json {
    let json = fields.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Bool(value) => value.into(),
            Value::Number(value) => value.into(),
            Value::String(value) => value.into(),
            Value::Strings(values) => values.into(),
        };
        (name, value)
    });
    json.collect::<Map<_, _>>().into()
}

fn scalar(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(value) => value.as_f64().map(Value::Number),
        Json::String(value) => Some(Value::String(value.clone())),
        _ => None,
    }
}

fn strings(json: &Json) -> Option<Vec<String>> {
    json.as_array()?
        .iter()
        .map(|value| value.as_str().map(str::to_owned))
        .collect()
}

/// Part of a value, for a message.
fn shortened(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn option(option: &'static str, needed: &str, found: &Json) -> Error {
    Error::Option {
        option,
        needed: needed.to_owned(),
        found: shortened(found),
    }
}

/// An object of settings, all of whose keys are known.
struct Object<'a>(&'a Map<String, Json>);

impl<'a> Object<'a> {
    fn new(json: &'a Json, what: &'static str, keys: &[&str]) -> Result<Object<'a>, Error> {
        let object = json
            .as_object()
            .ok_or_else(|| option(what, "an object", json))?;
        match object.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(option(
                what,
                &format!("only the keys {}", keys.join(", ")),
                &key.as_str().into(),
            )),
            None => Ok(Object(object)),
        }
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &'static str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
        let size = size.ok_or_else(|| option(key, "a whole number above 0", value))?;
        Ok(Some(size as usize))
    }

    fn space(&self, length: &'static str, name: &'static str) -> Result<Option<Space>, Error> {
        let dimensions = self.size(length)?;
        let found = self.get(name);
        match (dimensions, found) {
            (None, None) => Ok(None),
            (Some(dimensions), Some(Json::String(name))) => Ok(Some(Space {
                name: name.clone(),
                dimensions,
            })),
            (Some(_), found) => Err(option(
                name,
                &format!("a string beside `{length}`"),
                found.unwrap_or(&Json::Null),
            )),
            (None, Some(_)) => Err(option(
                length,
                &format!("a number beside `{name}`"),
                &Json::Null,
            )),
        }
    }

    /// The first choice where the key is missing.
    fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Result<T, Error> {
        let Some(found) = self.get(key) else {
            return Ok(choices[0].1);
        };
        let known = choices
            .iter()
            .find(|(name, _)| found.as_str() == Some(*name));
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        known
            .map(|(_, value)| *value)
            .ok_or_else(|| option(key, &names.join(" or "), found))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_comes_back_with_its_defaults() {
        let schema = Schema::from_json(&json!({"dimensions": 4, "space": "s"})).expect("a schema");
        let full = json!({"dimensions": 4, "space": "s", "metric": "cosine", "firstStage": {"kind": "none"}});
        assert_eq!(schema.to_json(), full);
        let both = json!({
            "dimensions": 8, "space": "s", "multivectorDimensions": 2, "multivectorSpace": "m", "metric": "dot",
            "firstStage": {"kind": "int8", "dimensions": 4}, "multivectorStorage": "float32",
        });
        assert_eq!(Schema::from_json(&both).expect("a schema").to_json(), both);
    }

    #[test]
    fn a_schema_that_means_nothing_is_refused() {
        for bad in [
            json!({}),
            json!([]),
            json!({"dimensions": 4}),
            json!({"space": "s"}),
            json!({"dimensions": 0, "space": "s"}),
            json!({"dimensions": 1.5, "space": "s"}),
            json!({"dimensions": 99999, "space": "s"}),
            json!({"dimensions": 4, "space": ""}),
            json!({"dimensions": 4, "space": "s", "metric": "euclid"}),
            json!({"dimensions": 4, "space": "s", "unknown": 1}),
            json!({"dimensions": 4, "space": "s", "firstStage": {"kind": "float32"}}),
            json!({"dimensions": 4, "space": "s", "firstStage": {"kind": "binary", "dimensions": 5}}),
        ] {
            assert!(
                matches!(Schema::from_json(&bad), Err(Error::Option { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn filters_are_read_as_they_are_written() {
        let read = |json| Filter::from_json(&json).expect("a filter");
        let field = || "f".to_owned();
        assert_eq!(
            read(json!({"field": "f", "equals": null})),
            Filter::Missing { field: field() }
        );
        let values = vec![Value::Number(1.0), Value::Bool(true)];
        assert_eq!(
            read(json!({"field": "f", "in": [1, true]})),
            Filter::In {
                field: field(),
                values
            }
        );
        let from = Some((Bound::Number(1.5), true));
        let to = Some((Bound::String("z".to_owned()), false));
        assert_eq!(
            read(json!({"field": "f", "gte": 1.5, "lt": "z"})),
            Filter::Range {
                field: field(),
                from,
                to
            }
        );
        let inner = Filter::Or(vec![Filter::Ids(vec!["a".to_owned()])]);
        let outer = Filter::And(vec![Filter::Not(Box::new(inner))]);
        assert_eq!(
            read(json!({"and": [{"not": {"or": [{"ids": ["a"]}]}}]})),
            outer
        );
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        for bad in [
            json!(null),
            json!({}),
            json!({"field": "f"}),
            json!({"field": 1, "equals": 1}),
            json!({"field": "f", "equal": 1}),
            json!({"field": "f", "equals": [1]}),
            json!({"field": "f", "in": 1}),
            json!({"field": "f", "in": [null]}),
            json!({"field": "f", "equals": 1, "in": [1]}),
            json!({"field": "f", "gte": 1, "gt": 2}),
            json!({"field": "f", "gte": true}),
            json!({"and": {}}),
            json!({"and": [], "or": []}),
            json!({"ids": [1]}),
        ] {
            assert!(
                matches!(Filter::from_json(&bad), Err(Error::Filter { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn fields_come_back_and_numbers_to_the_last_bit() {
        let json =
            json!({"a": 0.30000000000000004, "b": "x", "c": [ "y" ], "d": true, "e": null, "f": 7});
        let fields = fields_from_json(&json).expect("fields");
        assert_eq!(fields["a"], Value::Number(0.1 + 0.2));
        let back = json!({"a": 0.30000000000000004, "b": "x", "c": [ "y" ], "d": true, "f": 7.0});
        assert_eq!(fields_to_json(fields), back);
        for bad in [json!({"a": {}}), json!({"a": [1]}), json!("x")] {
            assert!(
                matches!(fields_from_json(&bad), Err(Error::Field { .. })),
                "{bad}"
            );
        }
    }
}
