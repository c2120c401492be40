// jina-embeddings-web/langchain: an embedder as LangChain's `Embeddings`.

import { Embeddings, type EmbeddingsParams } from '@langchain/core/embeddings';
import type { Task } from '../types.js';
import { requireTask, toNumbers, type EmbedsTexts } from './embeds.js';

export interface JinaEmbeddingsOptions extends EmbeddingsParams {
  readonly embedder: EmbedsTexts;
  /** Default: `retrieval.query`. */
  readonly queryTask?: Task | undefined;
  /** Default: `retrieval.passage`. The part before the dot must be that of `queryTask`. */
  readonly documentTask?: Task | undefined;
  readonly dimensions?: number | undefined;
}

/**
 * Embeds documents and queries for LangChain's vector stores and retrievers, each side with its own task.
 * Calls fail as the embedder's do; LangChain's own retries are off unless `maxRetries` says otherwise,
 * since the embedder has its own.
 */
export class JinaEmbeddings extends Embeddings {
  readonly #embedder: EmbedsTexts;
  readonly #queryTask: Task;
  readonly #documentTask: Task;
  readonly #dimensions: number | undefined;

  constructor({ embedder, queryTask = 'retrieval.query', documentTask = 'retrieval.passage', dimensions, ...params }: JinaEmbeddingsOptions) {
    super({ maxRetries: 0, ...params });
    this.#embedder = embedder;
    this.#queryTask = requireTask(queryTask, 'option `queryTask`');
    this.#documentTask = requireTask(documentTask, 'option `documentTask`');
    this.#dimensions = dimensions;
  }

  async embedDocuments(documents: string[]): Promise<number[][]> {
    return documents.length === 0 ? [] : this.#embed(documents, this.#documentTask);
  }

  async embedQuery(document: string): Promise<number[]> {
    const [embedding] = await this.#embed([document], this.#queryTask);
    return embedding as number[];
  }

  #embed(texts: string[], task: Task): Promise<number[][]> {
    return this.caller.call(async () => {
      const { embeddings } = await this.#embedder.encode(texts, { task, dimensions: this.#dimensions });
      return toNumbers(embeddings);
    });
  }
}
