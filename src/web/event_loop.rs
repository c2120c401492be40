//! Time and turns of the JavaScript event loop.

use std::{cell::RefCell, collections::VecDeque};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// Messages of this thread to itself. Making a channel takes longer than sending a message.
struct Turns {
    channel: MessageChannel,
    on_message: Closure<dyn FnMut()>,
    /// What goes on with each message under way.
    waiting: VecDeque<Function>,
}

thread_local! {
    static TURNS: RefCell<Option<Turns>> = RefCell::new(Turns::new());
}

impl Turns {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let port = channel.port1();
        let on_message = Closure::new(move || {
            let next = TURNS.with_borrow_mut(|turns| {
                let waiting = &mut turns.as_mut()?.waiting;
                let next = waiting.pop_front();
                if waiting.is_empty() {
                    // A port that somebody listens to keeps Node's event loop alive.
                    port.set_onmessage(None);
                }
                next
            });
            if let Some(next) = next {
                // It settles a promise, which cannot fail.
                let _ = next.call0(&JsValue::NULL);
            }
        });
        Some(Turns {
            channel,
            on_message,
            waiting: VecDeque::new(),
        })
    }

    fn send(&mut self, next: Function) {
        if self.waiting.is_empty() {
            let listener = self.on_message.as_ref().unchecked_ref();
            self.channel.port1().set_onmessage(Some(listener));
        }
        self.waiting.push_back(next);
        // An empty message needs no cloning, which is all that could fail.
        let _ = self.channel.port2().post_message(&JsValue::NULL);
    }
}

/// Lets the thread take its other tasks, a message that says "abort" among them, and goes on.
///
/// A message to oneself is a task like any other, while a timer waits four milliseconds and a
/// resolved promise lets nothing through.
pub async fn next_turn() {
    let turn = Promise::new(&mut |resolve, _reject| {
        TURNS.with_borrow_mut(|turns| match turns {
            Some(turns) => turns.send(resolve),
            // Without channels there are no turns to take.
            None => drop(resolve.call0(&JsValue::NULL)),
        });
    });
    let _ = JsFuture::from(turn).await;
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
