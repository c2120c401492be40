// What every adapter needs of an embedder: local, hosted, or one that may be either.

import { EmbedderError } from '../errors.js';
import type { Task } from '../types.js';

/** An embedder as far as the adapters use one. */
export interface EmbedsTexts {
  readonly info: { readonly model: { readonly name: string } };
  encode(texts: readonly string[], options: EmbedsOptions): Promise<EmbeddedTexts>;
}

export interface EmbedsOptions {
  readonly task: Task;
  readonly dimensions?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EmbeddedTexts {
  /** `Float32Array` each, as the options of the adapters ask for nothing else. */
  readonly embeddings: readonly unknown[];
  readonly space: string;
  readonly source: 'local' | 'hosted';
  readonly usage: { readonly tokens: number };
}

/** Libraries hand vectors on as plain lists of numbers. */
export function toNumbers(embeddings: readonly unknown[]): number[][] {
  return embeddings.map((embedding) => Array.from(embedding as Float32Array));
}

const TASKS: readonly unknown[] = ['retrieval.query', 'retrieval.passage', 'text-matching', 'code.query', 'code.passage'];

/** Fails with `INPUT_INVALID` where `task` is none: what vectors are for cannot be guessed. */
export function requireTask(task: unknown, where: string): Task {
  if (TASKS.includes(task)) return task as Task;
  throw new EmbedderError('INPUT_INVALID', `${where} must be one of ${TASKS.join(', ')}, not ${JSON.stringify(task) ?? 'missing'}`);
}
