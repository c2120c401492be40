// edgevec in WebAssembly: a flat scan, or HNSW.
import { readFileSync } from 'node:fs';
import { fileOf, versionOf } from './versions.mjs';

export function edgevecEngine(label, configure, settings, search) {
  let edgevec;
  return {
    name: `edgevec, ${label}`,
    version: versionOf('edgevec'),
    async start() {
      edgevec = await import(fileOf('edgevec/edgevec.js').href);
      await edgevec.default({ module_or_path: readFileSync(fileOf('edgevec/edgevec_bg.wasm')) });
    },
    build(rows, nRows, dimensions) {
      const config = new edgevec.EdgeVecConfig(dimensions);
      config.metric = 'cosine';
      configure(edgevec, config);
      const index = new edgevec.EdgeVec(config);
      const first = index.insert(rows.subarray(0, dimensions));
      for (let row = 1; row < nRows; row++) index.insert(rows.subarray(row * dimensions, (row + 1) * dimensions));
      return { index, first };
    },
    settings,
    // Ids are counted from the first that it gave.
    search: ({ index, first }, query, k) => search(index, query, k).map((id) => id - first),
  };
}
