// The weights are under a licence of their own, which is not this package's. Whoever loads them is told
// before the first byte is fetched: through `onLicence`, or else on the console, once per model.

import type { Licence } from '../types.js';
import { tell } from './fallback.js';

const shown = new Set<string>();

/** Shows a licence by the caller's function, or on the console. */
export function licenceNotice(onLicence: ((licence: Licence) => void) | undefined): (licence: Licence) => void {
  return ({ model, licence }) => {
    if (onLicence !== undefined) return tell(onLicence, { model, licence });
    const text =
      licence === null
        ? `jina-embeddings-web: the licence of the weights of ${model} is not stated beside them. jina-embeddings-v4 is under the Qwen Research License, for non-commercial use.`
        : `jina-embeddings-web: the weights of ${model} are under this licence: ${licence}`;
    if (shown.has(text)) return;
    shown.add(text);
    console.info(text);
  };
}
