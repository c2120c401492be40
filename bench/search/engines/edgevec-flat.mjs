import { edgevecEngine } from './edgevec-base.mjs';

export default edgevecEngine(
  'flat',
  ({ IndexType }, config) => (config.indexType = IndexType.Flat),
  () => [{ name: 'exact' }],
  (index, query, k) => index.search(query, k).map(({ id }) => id),
);
