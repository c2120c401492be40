// What every entry of `jina-embeddings-web/edge` exports besides `createEdge`.

export { createEmbedder } from './embedder.js';
export { compareSpaces } from '../spaces.js';
export { EmbedderError, isEmbedderError } from '../errors.js';
export type { ErrorCode } from '../errors.js';
export type { HostedEmbedder, HostedOptions } from '../hosted/types.js';
export type * from './types.js';
