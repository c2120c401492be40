// jina-embeddings-web/ai-sdk: an embedder as an embedding model of the AI SDK (specification v4).

import type { EmbeddingModelV4 } from '@ai-sdk/provider';
import type { Task } from '../types.js';
import { requireTask, toNumbers, type EmbedsTexts } from './embeds.js';

export interface EmbeddingModelOptions {
  /** What the vectors are for; a call's `providerOptions.jina.task` comes first. */
  readonly task: Task;
  /** A call's own `dimensions`, or `providerOptions.jina.dimensions`, come first. */
  readonly dimensions?: number | undefined;
}

/** More than this an `embedMany` splits: the hosted API takes as many in one request. */
const MAX_EMBEDDINGS_PER_CALL = 2048;

/**
 * Makes an embedding model for `embed` and `embedMany` of the AI SDK.
 *
 * Its calls fail as the embedder's do. `providerMetadata.jina` tells `source` and `space` of the vectors.
 */
export function toEmbeddingModel(embedder: EmbedsTexts, { task, dimensions }: EmbeddingModelOptions): EmbeddingModelV4 {
  requireTask(task, 'option `task`');
  return {
    specificationVersion: 'v4',
    provider: 'jina-embeddings-web',
    get modelId() {
      return embedder.info.model.name;
    },
    maxEmbeddingsPerCall: MAX_EMBEDDINGS_PER_CALL,
    // Calls may overlap: the embedder answers them in order.
    supportsParallelCalls: true,
    async doEmbed({ values, abortSignal, providerOptions, dimensions: asked }) {
      const own = providerOptions?.['jina'] ?? {};
      const { embeddings, space, source, usage } = await embedder.encode(values, {
        task: own['task'] === undefined ? task : requireTask(own['task'], '`providerOptions.jina.task`'),
        dimensions: asked ?? (own['dimensions'] as number | undefined) ?? dimensions,
        signal: abortSignal,
      });
      return { embeddings: toNumbers(embeddings), usage: { tokens: usage.tokens }, providerMetadata: { jina: { source, space } }, warnings: [] };
    },
  };
}
