import { EmbedderError } from '../errors.js';
import type { CacheOption, WeightStore } from '../types.js';

/** Fails with `INPUT_INVALID` where the option is none of the documented forms. */
export function checkCache(cache: unknown): CacheOption {
  if (cache === undefined) return 'auto';
  if (cache === 'auto' || cache === 'opfs' || cache === 'cache-api' || cache === false) return cache;
  const methods = ['names', 'get', 'put', 'delete'] as const;
  if (typeof cache === 'object' && cache !== null && methods.every((method) => typeof (cache as Record<string, unknown>)[method] === 'function')) return cache as WeightStore;
  throw new EmbedderError('INPUT_INVALID', 'option `cache` must be "auto", "opfs", "cache-api", false, or an object with the methods names, get, put and delete');
}
