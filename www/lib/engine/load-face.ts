// Obtains the wasm module. The two paths are literal, so that bundlers see and carry the files.

import { EmbedderError, isRecord, reasonOf } from '../errors.js';
import type { WasmFace, WasmSource } from '../wasm-face.js';

export type LoadFace = (wasm: WasmSource | undefined) => Promise<WasmFace>;

/** Fails with `WASM_INIT` where the module cannot be fetched, compiled or started, or is another version's. */
export const loadFace: LoadFace = async (wasm) => {
  try {
    const face: unknown = await import('#wasm');
    if (!isRecord(face) || typeof face['create_device'] !== 'function' || typeof face['ModelLoader'] !== 'function') {
      throw new TypeError('the module does not export create_device and ModelLoader');
    }
    const module = face as unknown as WasmFace;
    await module.default({ module_or_path: wasm ?? new URL('./wasm/jina_embeddings_web_bg.wasm', import.meta.url) });
    return module;
  } catch (cause) {
    throw new EmbedderError('WASM_INIT', `The WebAssembly module could not be started: ${reasonOf(cause)}`, { cause });
  }
};
