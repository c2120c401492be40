// Obtains the edge module. The path is literal (`#edge-wasm` becomes one when bundled), so that bundlers
// see and carry the file.

import * as module from '#edge-wasm';
import { EmbedderError, reasonOf } from '../../errors.js';
import type { LoadSearchFace, SearchFace } from '../face.js';

/** Fails with `WASM_INIT` where the module cannot be fetched, compiled or started, or is another version's. */
export const loadSearchFace: LoadSearchFace = async (wasm) => {
  try {
    for (const name of ['default', 'SearchIndex', 'IndexReader', 'ImagePreprocessor'] as const) {
      if (typeof module[name] !== 'function') throw new TypeError(`the module does not export ${name}`);
    }
    await module.default({ module_or_path: wasm ?? new URL('./wasm/jina_embeddings_edge_bg.wasm', import.meta.url) });
    return module as unknown as SearchFace;
  } catch (cause) {
    throw new EmbedderError('WASM_INIT', `The search module could not be started: ${reasonOf(cause)}`, { cause });
  }
};
