import { edgevecEngine } from './edgevec-base.mjs';

// Its candidates are a setting of the index: enough of them for nearly all neighbours.
export default edgevecEngine(
  'HNSW',
  ({ IndexType }, config) => {
    config.indexType = IndexType.Hnsw;
    config.m = 16;
    config.ef_construction = 128;
    config.ef_search = 128;
  },
  () => [{ name: 'ef 128' }],
  (index, query, k) => index.search(query, k).map(({ id }) => id),
);
