// jina-embeddings-web: jina-embeddings-v4 in a web page. Importing this does nothing; it may be imported
// where there is no browser.

export { createEmbedder } from './page/create-embedder.js';
export { availability } from './page/availability.js';
export { cachedWeights, clearWeights } from './page/weight-cache.js';
export { forgetDevice } from './page/forget-device.js';
export { EmbedderError, isEmbedderError } from './errors.js';
export { compareSpaces } from './spaces.js';
export type { SpaceRelation } from './spaces.js';
export type { HostedInfo, HostedModel, HostedOptions } from './hosted/types.js';
export type { EmbedderErrorOptions, ErrorCode, InputError } from './errors.js';
export type {
  AdapterInfo,
  AdapterName,
  Availability,
  AvailabilityOptions,
  CachedFile,
  CachedWeights,
  CacheOption,
  CreateOptions,
  DeviceKind,
  Embedder,
  EmbedderInfo,
  EmbeddingOf,
  EncodeOptions,
  EncodeProgress,
  EncodeResult,
  EncodeTimings,
  FallbackReason,
  Fetch,
  HybridOptions,
  ImageSource,
  Input,
  Licence,
  MemoryStatement,
  MemoryUse,
  Mode,
  ModelFile,
  ModelFiles,
  ModelInfo,
  ModelSource,
  MultiVector,
  ProgressEvent,
  SelfTest,
  SingleEncodeResult,
  Task,
  VectorValues,
  WeightCacheOptions,
  WeightStore,
} from './types.js';
