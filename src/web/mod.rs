//! The wasm-bindgen face. It computes nothing.
