//! The wasm-bindgen face of what needs no graphics card and no model: search, tokeniser, pictures.
//! It computes nothing: it turns JavaScript values into calls and back.
//!
//! Every throw is a plain `{code, message}` with a stable code.

mod index;
mod items;
mod picture;
mod tokenizer;

use wasm_bindgen::prelude::*;

use crate::Error;
use crate::js::{misuse, rejection};

/// The name of the instructions that searches run on.
#[wasm_bindgen]
pub fn kernels() -> String {
    crate::search::Kernels::detect().name().to_owned()
}

/// A failure as it is thrown.
fn thrown(error: impl Into<Error>) -> JsValue {
    rejection(&error.into())
}

/// A value as JSON; `undefined` is `null`.
fn to_json(value: &JsValue) -> Result<serde_json::Value, JsValue> {
    if value.is_undefined() {
        return Ok(serde_json::Value::Null);
    }
    let text = js_sys::JSON::stringify(value)
        .map_err(|_| misuse("an option cannot be written as JSON"))?;
    let text = text
        .as_string()
        .ok_or_else(|| misuse("an option cannot be written as JSON"))?;
    serde_json::from_str(&text).map_err(misuse)
}

fn from_json(json: &serde_json::Value) -> JsValue {
    // What serde_json writes, JavaScript reads.
    js_sys::JSON::parse(&json.to_string()).unwrap_or(JsValue::UNDEFINED)
}
