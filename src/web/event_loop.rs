//! Time and turns of the JavaScript event loop.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// Lets the thread take its other tasks, a message that says "abort" among them, and goes on.
///
/// A message to oneself is a task like any other, while a timer waits four milliseconds and a
/// resolved promise lets nothing through.
pub async fn next_turn() {
    let Ok(channel) = MessageChannel::new() else {
        return;
    };
    let turn = Promise::new(&mut |resolve, _reject| {
        channel.port1().set_onmessage(Some(&resolve));
        // An empty message needs no cloning, which is all that could fail.
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(turn).await;
    // An open port keeps Node's event loop, and the channel, alive.
    channel.port1().close();
}

/// Milliseconds on a clock that never goes back.
pub fn now_ms() -> f64 {
    let performance = super::field(&js_sys::global(), "performance");
    Reflect::get(&performance, &"now".into())
        .ok()
        .and_then(|now| now.dyn_into::<Function>().ok())
        .and_then(|now| now.call0(&performance).ok())
        .and_then(|now| now.as_f64())
        .unwrap_or_else(js_sys::Date::now)
}
