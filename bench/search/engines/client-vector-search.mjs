// client-vector-search: objects with arrays of numbers, compared in JavaScript. It imports a library for
// models, which takes no part here and is left out.
import { build } from '../../../pkg-config/node_modules/esbuild/lib/main.js';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { fileOf, versionOf } from './versions.mjs';

let EmbeddingIndex;
export default {
  name: 'client-vector-search',
  version: versionOf('client-vector-search'),
  async start() {
    const outfile = join(mkdtempSync(join(tmpdir(), 'bench-search-')), 'client-vector-search.mjs');
    const without = {
      name: 'without-models',
      setup({ onResolve, onLoad }) {
        onResolve({ filter: /^@xenova\/transformers$/ }, ({ path }) => ({ path, namespace: 'nothing' }));
        onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'export const pipeline = undefined; export const env = {};' }));
      },
    };
    await build({ entryPoints: [fileURLToPath(fileOf('client-vector-search/dist/index.mjs'))], outfile, bundle: true, format: 'esm', platform: 'node', plugins: [without], logLevel: 'error' });
    ({ EmbeddingIndex } = await import(pathToFileURL(outfile).href));
  },
  build(rows, nRows, dimensions) {
    const index = new EmbeddingIndex();
    for (let row = 0; row < nRows; row++) index.add({ id: row, embedding: Array.from(rows.subarray(row * dimensions, (row + 1) * dimensions)) });
    return index;
  },
  settings: () => [{ name: 'exact' }],
  async search(index, query, k) {
    const hits = await index.search(Array.from(query), { topK: k });
    return hits.map(({ object }) => object.id);
  },
};
