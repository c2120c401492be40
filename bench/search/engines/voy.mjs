// voy-search: a k-d tree in WebAssembly. Its npm package is for bundlers, so its module is started by hand.
// Its distance is Euclidean, which orders vectors of length 1 as the cosine does.
import { readFileSync } from 'node:fs';
import { normalised } from '../data.mjs';
import { fileOf, versionOf } from './versions.mjs';

let voy;
export default {
  name: 'voy-search',
  version: versionOf('voy-search'),
  async start() {
    voy = await import(fileOf('voy-search/voy_search_bg.js').href);
    const { instance } = await WebAssembly.instantiate(readFileSync(fileOf('voy-search/voy_search_bg.wasm')), { './voy_search_bg.js': voy });
    voy.__wbg_set_wasm(instance.exports);
  },
  build(rows, nRows, dimensions) {
    const embeddings = [];
    for (let row = 0; row < nRows; row++) {
      embeddings.push({ id: String(row), title: '', url: '', embeddings: Array.from(normalised(rows.subarray(row * dimensions, (row + 1) * dimensions))) });
    }
    return new voy.Voy({ embeddings });
  },
  settings: () => [{ name: 'default' }],
  search: (index, query, k) => index.search(normalised(query), k).neighbors.map(({ id }) => Number(id)),
  save: (index) => Buffer.from(index.serialize()),
  open: (bytes) => voy.Voy.deserialize(bytes.toString()),
};
