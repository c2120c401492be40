// jina-embeddings-web/edge in workerd (Cloudflare Workers), which compiles no WebAssembly at run time: the
// module is part of the deployment, and imported as one.

import * as module from '#edge-wasm';
import compiled from '#edge-wasm-module';
import { startEdge } from './edge.js';
import type { EdgeFace } from './face.js';
import type { Edge, EdgeOptions } from './types.js';

export function createEdge({ wasm }: EdgeOptions = {}): Promise<Edge> {
  return startEdge(module as unknown as EdgeFace, () => wasm ?? compiled);
}

export * from './exports.js';
