// jina-embeddings-web/edge: search, tokeniser, picture preprocessing and the hosted API, without a model.
// Importing this does nothing.

import * as module from '#edge-wasm';
import { startEdge } from './edge.js';
import type { EdgeFace } from './face.js';
import type { Edge, EdgeOptions } from './types.js';

/**
 * Starts the WebAssembly module, by default the one beside this script.
 *
 * Fails with `WASM_INIT` where it cannot be had or started.
 */
export function createEdge({ wasm }: EdgeOptions = {}): Promise<Edge> {
  return startEdge(module as unknown as EdgeFace, () => wasm ?? new URL('./wasm/jina_embeddings_edge_bg.wasm', import.meta.url));
}

export * from './exports.js';
