// `#wasm` is the file that wasm-bindgen generates; the bundling script maps it to `./wasm/`. What it
// exports is described in `wasm-face.ts` and checked when it is loaded.
declare const module: Record<string, unknown>;
export = module;
