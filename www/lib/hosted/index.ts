// jina-embeddings-web/hosted: the hosted Embeddings API, or any server that speaks it, by `fetch` alone.
// No WebAssembly, and nothing happens at import.

import { HostedClient } from './client.js';
import type { HostedEmbedder, HostedOptions } from './types.js';

/**
 * Makes a client of the hosted Embeddings API. Nothing is sent before the first call.
 *
 * Fails with `INPUT_INVALID` naming the option, or with `HOSTED_KEY_EXPOSED` where a key is given in a
 * page without `dangerouslyAllowBrowser`.
 */
export function createHostedEmbedder(options: HostedOptions = {}): HostedEmbedder {
  return new HostedClient(options);
}

export { EmbedderError, isEmbedderError } from '../errors.js';
export { compareSpaces } from '../spaces.js';
export type { EmbedderErrorOptions, ErrorCode, InputError } from '../errors.js';
export type { SpaceRelation } from '../spaces.js';
export type { EncodeProgress, EncodeTimings, ImageSource, Input, MultiVector, Task } from '../types.js';
export type {
  EmbeddingType,
  HostedEmbedder,
  HostedEmbeddingOf,
  HostedEncodeOptions,
  HostedErrorData,
  HostedFetch,
  HostedInfo,
  HostedInput,
  HostedModel,
  HostedOptions,
  HostedResult,
  HostedSingleResult,
  HostedTask,
  PdfSource,
} from './types.js';
