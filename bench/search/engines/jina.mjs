// This project's index: exact, and with each first stage.
import { readFileSync } from 'node:fs';

const wasm = new URL('../../../www/lib/wasm/', import.meta.url);
const SPACE = 'bench';

export function jinaEngine(label, firstStage, settings) {
  let edge;
  const ids = (n) => Array.from({ length: n }, (_, row) => String(row));
  return {
    name: `jina-embeddings-web, ${label}`,
    version: 'this tree',
    measureAll: true,
    async start() {
      edge = await import(new URL('jina_embeddings_edge.js', wasm).href);
      await edge.default({ module_or_path: readFileSync(new URL('jina_embeddings_edge_bg.wasm', wasm)) });
    },
    build(rows, nRows, dimensions) {
      const index = new edge.SearchIndex({ dimensions, space: SPACE, firstStage });
      // As a page would, which embeds and adds some at a time.
      const step = 10_000;
      const all = ids(nRows);
      for (let first = 0; first < nRows; first += step) {
        const last = Math.min(nRows, first + step);
        index.add({ ids: all.slice(first, last), vectors: rows.subarray(first * dimensions, last * dimensions), space: SPACE });
      }
      return index;
    },
    settings: () => settings,
    search(index, vector, k, options) {
      const hits = index.search({ vector, space: SPACE, k, fields: false, ...options.query });
      return hits.map(({ id }) => Number(id));
    },
    save(index) {
      index.begin_compaction();
      const chunks = [];
      for (let chunk; (chunk = index.compaction_chunk()) !== undefined; ) chunks.push(chunk);
      index.finish_compaction(false);
      return Buffer.concat(chunks);
    },
    drop: (index) => index.free(),
    open(bytes) {
      const reader = new edge.IndexReader();
      for (let at = 0; at < bytes.length; at += 4 << 20) reader.push(bytes.subarray(at, at + (4 << 20)));
      return reader.finish();
    },
  };
}

const exact = { name: 'exact', query: { exact: true } };
export default jinaEngine('full vectors', { kind: 'none' }, [exact]);
