// jina-embeddings-web/edge in Node, Deno and Bun, where `fetch` opens no files.

import * as module from '#edge-wasm';
import { startEdge } from './edge.js';
import type { EdgeFace } from './face.js';
import type { Edge, EdgeOptions } from './types.js';

export function createEdge({ wasm }: EdgeOptions = {}): Promise<Edge> {
  return startEdge(module as unknown as EdgeFace, async () => {
    const source = wasm ?? new URL('./wasm/jina_embeddings_edge_bg.wasm', import.meta.url);
    if (!(source instanceof URL) || source.protocol !== 'file:') return source;
    const { readFile } = await import('node:fs/promises');
    return (await readFile(source)) as BufferSource;
  });
}

export * from './exports.js';
