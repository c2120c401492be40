//! Batches and queries from JavaScript.

use js_sys::{Array, Float32Array};
use wasm_bindgen::prelude::*;

use crate::js::{field, misuse};
use crate::search::{self, Fields, Filter, InSpace};

use super::{thrown, to_json};

/// A batch that owns its values.
pub struct OwnedBatch {
    ids: Vec<String>,
    vectors: Option<(Vec<f32>, String)>,
    multivectors: Option<(Vec<Option<Vec<f32>>>, String)>,
    fields: Option<Vec<Fields>>,
}

impl OwnedBatch {
    pub fn read(batch: &JsValue) -> Result<OwnedBatch, JsValue> {
        let vectors = floats(&field(batch, "vectors"), "vectors")?;
        let multivectors = match field(batch, "multivectors") {
            list if list.is_null_or_undefined() => None,
            list => {
                let list = array(&list, "multivectors")?;
                let all = list.iter().map(|values| floats(&values, "multivectors"));
                Some(all.collect::<Result<Vec<_>, _>>()?)
            }
        };
        Ok(OwnedBatch {
            ids: strings(&field(batch, "ids"), "ids")?,
            vectors: vectors.map(|values| (values, text(batch, "space"))),
            multivectors: multivectors.map(|values| (values, text(batch, "multivectorSpace"))),
            fields: fields(&field(batch, "fields"))?,
        })
    }

    /// Calls with the batch as the index takes it.
    pub fn with<T>(
        &self,
        call: impl FnOnce(&search::Batch) -> Result<T, search::Error>,
    ) -> Result<T, JsValue> {
        let ids: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        let multis = self.multivectors.as_ref().map(|(values, space)| {
            let values: Vec<Option<&[f32]>> =
                values.iter().map(|values| values.as_deref()).collect();
            (values, space)
        });
        let batch = search::Batch {
            ids: &ids,
            vectors: self.vectors.as_ref().map(|(values, space)| InSpace {
                values: &values[..],
                space,
            }),
            multivectors: multis.as_ref().map(|(values, space)| InSpace {
                values: &values[..],
                space,
            }),
            fields: self.fields.as_deref(),
        };
        call(&batch).map_err(thrown)
    }
}

/// A query that owns its values.
pub struct OwnedQuery {
    vector: Option<(Vec<f32>, String)>,
    multivector: Option<(Vec<f32>, String)>,
    k: usize,
    filter: Option<Filter>,
    exact: bool,
    candidates: Option<usize>,
    /// Whether hits carry their fields.
    pub fields: bool,
}

impl OwnedQuery {
    pub fn read(query: &JsValue) -> Result<OwnedQuery, JsValue> {
        let vector = floats(&field(query, "vector"), "vector")?;
        let multivector = floats(&field(query, "multivector"), "multivector")?;
        Ok(OwnedQuery {
            vector: vector.map(|values| (values, text(query, "space"))),
            multivector: multivector.map(|values| (values, text(query, "multivectorSpace"))),
            k: count(query, "k")?.ok_or_else(|| misuse("`k` needs a whole number, found none"))?,
            filter: filter(&field(query, "filter"))?,
            exact: field(query, "exact").is_truthy(),
            candidates: count(query, "candidates")?,
            fields: !field(query, "fields").loose_eq(&JsValue::FALSE),
        })
    }

    /// The query as the index takes it.
    pub fn get(&self) -> search::Query<'_> {
        fn in_space((values, space): &(Vec<f32>, String)) -> InSpace<'_, [f32]> {
            InSpace { values, space }
        }
        search::Query {
            vector: self.vector.as_ref().map(in_space),
            multivector: self.multivector.as_ref().map(in_space),
            k: self.k,
            filter: self.filter.as_ref(),
            candidates: self.candidates,
            exact: self.exact,
        }
    }
}

/// A filter; none where there is none.
pub fn filter(value: &JsValue) -> Result<Option<Filter>, JsValue> {
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    Filter::from_json(&to_json(value)?)
        .map(Some)
        .map_err(thrown)
}

/// The fields of each item; none where there are none.
pub fn fields(value: &JsValue) -> Result<Option<Vec<Fields>>, JsValue> {
    match to_json(value)? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::Array(all) => {
            let all = all.iter().map(search::fields_from_json);
            all.collect::<Result<_, _>>().map(Some).map_err(thrown)
        }
        _ => Err(misuse("`fields` needs a list")),
    }
}

pub fn strings(value: &JsValue, name: &str) -> Result<Vec<String>, JsValue> {
    let bad = || misuse(format_args!("`{name}` needs a list of strings"));
    let all = array(value, name)?;
    all.iter()
        .map(|value| value.as_string().ok_or_else(bad))
        .collect()
}

/// A `Float32Array`; none where there is none.
pub fn floats(value: &JsValue, name: &str) -> Result<Option<Vec<f32>>, JsValue> {
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    let array = value.dyn_ref::<Float32Array>();
    let array = array.ok_or_else(|| misuse(format_args!("`{name}` needs a Float32Array")))?;
    let mut floats = Vec::new();
    let n_bytes = u64::from(array.length()) * 4;
    let room = floats.try_reserve_exact(array.length() as usize);
    room.map_err(|_| thrown(search::Error::OutOfMemory { n_bytes }))?;
    floats.resize(array.length() as usize, 0.0);
    array.copy_to(&mut floats);
    Ok(Some(floats))
}

fn array(value: &JsValue, name: &str) -> Result<Array, JsValue> {
    let bad = || misuse(format_args!("`{name}` needs a list"));
    value.dyn_ref::<Array>().cloned().ok_or_else(bad)
}

/// A string; empty where there is none, which is the name of no space.
fn text(object: &JsValue, name: &str) -> String {
    field(object, name).as_string().unwrap_or_default()
}

/// A whole number; none where there is none.
fn count(object: &JsValue, name: &str) -> Result<Option<usize>, JsValue> {
    let value = field(object, name);
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    match value.as_f64() {
        Some(number) if number >= 0.0 && number.fract() == 0.0 => Ok(Some(number as usize)),
        _ => Err(misuse(format_args!("`{name}` needs a whole number"))),
    }
}
