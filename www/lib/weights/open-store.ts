// Where weights are kept here.

import { EmbedderError } from '../errors.js';
import { storageError } from '../opfs.js';
import type { CacheOption, WeightStore } from '../types.js';
import { CacheWeights, hasCaches } from './cache-api.js';
import { hasOpfs, OpfsWeights } from './opfs.js';

/**
 * The store that `cache` names; for `'auto'` the first that this thread has and the browser allows, or
 * `undefined` where there is none.
 *
 * Fails with `IO` where the one that was named is missing or refused.
 */
export async function openWeightStore(cache: CacheOption): Promise<WeightStore | undefined> {
  if (cache === false) return undefined;
  if (typeof cache === 'object') return cache;
  if (cache === 'opfs' && !hasOpfs()) throw missing('the origin private file system');
  if (cache === 'cache-api' && !hasCaches()) throw missing('Cache Storage');
  if (cache !== 'cache-api' && hasOpfs()) {
    try {
      return await OpfsWeights.open();
    } catch (refused) {
      if (cache === 'opfs') throw refused;
    }
  }
  if (!hasCaches()) return undefined;
  try {
    return await CacheWeights.open();
  } catch (cause) {
    if (cache === 'auto') return undefined;
    throw storageError('Opening Cache Storage', cause);
  }
}

function missing(what: string): EmbedderError {
  return new EmbedderError('IO', `This place lacks ${what}`, { recoverable: false });
}
