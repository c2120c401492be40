//! Values of JavaScript, for the faces that wasm-bindgen makes.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::{Code, Error};

/// `{code, message}`, and where one input of a call is at fault `inputs`, which names it.
pub(crate) fn rejection(error: &Error) -> JsValue {
    let plain = |error: &Error| -> [(&'static str, JsValue); 2] {
        [
            ("code", error.code().as_str().into()),
            ("message", error.to_string().into()),
        ]
    };
    let Error::Input { index, source } = error else {
        return object(&plain(error));
    };
    let [code, message] = plain(source);
    let input = object(&[("index", (*index as f64).into()), code, message]);
    let [code, message] = plain(error);
    let inputs = ("inputs", js_sys::Array::of1(&input).into());
    object(&[code, message, inputs])
}

/// An error of the caller's values, which TypeScript should have refused.
pub(crate) fn misuse(message: impl std::fmt::Display) -> JsValue {
    object(&[
        ("code", Code::InputInvalid.as_str().into()),
        ("message", message.to_string().into()),
    ])
}

/// A plain object.
pub(crate) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = js_sys::Object::new();
    for (name, value) in fields {
        // Setting a field of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

/// A field of an object; `undefined` where there is none.
pub(crate) fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
