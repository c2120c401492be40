//! The wasm-bindgen face. It computes nothing: it turns JavaScript values into calls and back.
//!
//! Every rejection is a plain `{code, message}` with a stable code. A panic cannot be returned; it
//! is announced to every device's `on_event` before it traps.

mod device;
mod embedder;
mod event_loop;
mod loader;

use wasm_bindgen::prelude::*;

use crate::js::{field, misuse, object, rejection};

unsafe extern "C" {
    /// Runs the program's static constructors; made by the linker.
    fn __wasm_call_ctors();
}

/// Runs once, when the module is instantiated.
#[wasm_bindgen(start)]
fn start() {
    // A module that never calls its constructors is taken for a command by the linker, which then
    // runs all of them at every call of every export: with CubeCL's registrations a millisecond and
    // a half each time, most of a short text's time.
    //
    // SAFETY: the linker defines the function without parameters, and it runs once, before any use
    // of what it registers.
    unsafe { __wasm_call_ctors() };
    device::announce_panics();
    // Without a logger the browser's own text on a rejected shader is lost.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

struct Console;

impl log::Log for Console {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        // The device's own listener tells real losses from releases; CubeCL's watch does not.
        metadata.level() <= log::Level::Warn && !metadata.target().ends_with("device_poison")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let text = format!("jina-embeddings-web: {}", record.args()).into();
            match record.level() {
                log::Level::Error => web_sys::console::error_1(&text),
                _ => web_sys::console::warn_1(&text),
            }
        }
    }

    fn flush(&self) {}
}
