// `#edge-wasm-module` is the file `./wasm/jina_embeddings_edge_bg.wasm`, as workerd imports it.
declare const compiled: WebAssembly.Module;
export default compiled;
