import { EmbedderError } from '../errors.js';
import { createHostedEmbedder } from '#hosted';
import type { HostedEmbedder } from '../hosted/types.js';
import type { EdgeEmbedderOptions } from './types.js';

/**
 * The embedder of an edge worker: the hosted API, or a server that speaks it.
 *
 * Fails with `LOCAL_UNAVAILABLE` in mode `only-local`, and as `createHostedEmbedder`.
 */
export async function createEmbedder({ hosted, mode = 'only-hosted', onFallback }: EdgeEmbedderOptions): Promise<HostedEmbedder> {
  const unavailable = () =>
    new EmbedderError('LOCAL_UNAVAILABLE', `Mode \`${mode}\` needs a device to compute on, and an edge worker has none: use mode \`only-hosted\`, or the package's main entry where there is one`);
  switch (mode) {
    case 'only-local':
      throw unavailable();
    case 'prefer-local': {
      const embedder = createHostedEmbedder(hosted);
      const error = unavailable();
      onFallback?.({ from: 'local', to: 'hosted', code: error.code, message: error.message, error });
      return embedder;
    }
    case 'prefer-hosted':
    case 'only-hosted':
      return createHostedEmbedder(hosted);
    default:
      throw new EmbedderError('INPUT_INVALID', `\`mode\` needs prefer-local, only-local, prefer-hosted or only-hosted, found ${String(mode)}`);
  }
}
