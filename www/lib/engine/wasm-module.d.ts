// `#wasm` is the file that wasm-bindgen generates; the bundling script maps it to `./wasm/`.
import type { WasmFace } from '../wasm-face.js';

declare const init: WasmFace['default'];
export default init;
export declare const create_device: WasmFace['create_device'];
export declare const ModelLoader: WasmFace['ModelLoader'];
