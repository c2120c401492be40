// hnswlib-wasm: the C++ library by Emscripten.
import { fileOf, versionOf } from './versions.mjs';

let library;
export default {
  name: 'hnswlib-wasm',
  version: versionOf('hnswlib-wasm'),
  async start() {
    // It is compiled for pages alone, and asks whether there is a window.
    globalThis.window = globalThis;
    const { loadHnswlib } = await import(fileOf('hnswlib-wasm/dist/hnswlib.js').href);
    library = await loadHnswlib();
  },
  build(rows, nRows, dimensions) {
    const index = new library.HierarchicalNSW('cosine', dimensions, '');
    index.initIndex(nRows, 16, 128, 100);
    for (let row = 0; row < nRows; row++) index.addPoint(rows.subarray(row * dimensions, (row + 1) * dimensions), row, false);
    return index;
  },
  settings: () => [16, 32, 64, 128, 256, 512].map((ef) => ({ name: `ef ${ef}`, ef })),
  search(index, query, k, { ef }) {
    index.setEfSearch(ef);
    return index.searchKnn(query, k, undefined).neighbors;
  },
};
