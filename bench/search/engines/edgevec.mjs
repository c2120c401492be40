// edgevec: HNSW in WebAssembly. Its distances are Euclidean here, of vectors of length 1, which orders as the
// cosine does: with `metric = 'cosine'` version 0.9.0 finds the least alike.
import { readFileSync } from 'node:fs';
import { normalised } from '../data.mjs';
import { fileOf, versionOf } from './versions.mjs';

let edgevec;
export default {
  name: 'edgevec',
  version: versionOf('edgevec'),
  async start() {
    edgevec = await import(fileOf('edgevec/edgevec.js').href);
    await edgevec.default({ module_or_path: readFileSync(fileOf('edgevec/edgevec_bg.wasm')) });
  },
  build(rows, nRows, dimensions) {
    const config = new edgevec.EdgeVecConfig(dimensions);
    config.metric = 'l2';
    config.m = 16;
    config.ef_construction = 128;
    // A setting of the index, not of a query: enough for nearly all neighbours.
    config.ef_search = 128;
    const index = new edgevec.EdgeVec(config);
    // Ids are counted from 1.
    for (let row = 0; row < nRows; row++) index.insert(normalised(rows.subarray(row * dimensions, (row + 1) * dimensions)));
    return index;
  },
  settings: () => [{ name: 'ef 128' }],
  search: (index, query, k) => index.search(normalised(query), k).map(({ id }) => id - 1),
};
