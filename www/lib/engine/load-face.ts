// Obtains the wasm module. The paths are literal (`#wasm` becomes one when bundled), so that bundlers see
// and carry the files; and the import is static, since many bundle a worker into one file.

import * as module from '#wasm';
import { EmbedderError, reasonOf } from '../errors.js';
import type { WasmFace, WasmSource } from '../wasm-face.js';

export type LoadFace = (wasm: WasmSource | undefined) => Promise<WasmFace>;

/** Fails with `WASM_INIT` where the module cannot be fetched, compiled or started, or is another version's. */
export const loadFace: LoadFace = async (wasm) => {
  try {
    for (const name of ['default', 'create_device', 'ModelLoader'] as const) {
      if (typeof module[name] !== 'function') throw new TypeError(`the module does not export ${name}`);
    }
    await module.default({ module_or_path: wasm ?? new URL('./wasm/jina_embeddings_web_bg.wasm', import.meta.url) });
    return module;
  } catch (cause) {
    throw new EmbedderError('WASM_INIT', `The WebAssembly module could not be started: ${reasonOf(cause)}`, { cause });
  }
};
