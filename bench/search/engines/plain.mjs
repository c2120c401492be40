// A loop in plain JavaScript over one typed array: what nobody needs a library for.
import { plainTopK } from '../data.mjs';

export default {
  name: 'plain JavaScript loop',
  version: process.version,
  start() {},
  build: (rows, _nRows, dimensions) => ({ rows: rows.slice(), dimensions }),
  settings: () => [{ name: 'exact' }],
  search: ({ rows, dimensions }, query, k) => plainTopK(rows, dimensions, query, k),
};
