// The generated module behind `#edge-wasm`, as far as it is called.
import type { SearchFace, WasmSource } from '../face.js';

declare const init: (options: { module_or_path: WasmSource | URL }) => Promise<unknown>;
export default init;
export declare const SearchIndex: SearchFace['SearchIndex'];
export declare const IndexReader: SearchFace['IndexReader'];
export declare const ImagePreprocessor: SearchFace['ImagePreprocessor'];
