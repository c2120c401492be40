// The weights that are kept on this device, for the page to see and to delete. Loaded when first asked.

import { pageAddress } from '../page-address.js';
import type { CachedWeights, WeightCacheOptions } from '../types.js';

/** Lists the weights that are kept on this device. Nothing is fetched. Fails with `IO` where the storage refuses. */
export async function cachedWeights(options: WeightCacheOptions = {}): Promise<CachedWeights> {
  const { cachedWeights: list } = await import('#weights');
  return list(options, pageAddress());
}

/**
 * Deletes weights that are kept on this device, and returns how many bytes those were. What is loaded
 * stays loaded. Fails with `IO` where the storage refuses.
 */
export async function clearWeights(options: WeightCacheOptions = {}): Promise<number> {
  const { clearWeights: clear } = await import('#weights');
  return clear(options, pageAddress());
}
