// What an index is opened with in tests: an embedder that knows words, and a disk that fails on demand.

import { serveCalls, type Port } from '../../../www/lib/search/rpc.js';
import { SearchEngine } from '../../../www/lib/search/engine/engine.js';
import { createIndex } from '../../../www/lib/search/index.js';
import type { CreateIndexOptions, SearchEmbedder, SearchIndex } from '../../../www/lib/search/index.js';
import { storageError, type FileState, type IndexStore } from '../../../www/lib/search/store/store.js';
import { EmbedderError } from '../../../www/lib/errors.js';
import type { EncodeOptions, Input } from '../../../www/lib/index.js';
import { RowMajorVectors } from '../../../www/lib/vectors.js';
import { FakeWorker } from './fake-worker.js';
import { plainFace } from './plain-index.js';

export const DIMENSIONS = 64;
export const TOKEN_DIMENSIONS = 16;

export interface FakeEmbedder extends SearchEmbedder {
  /** The inputs of each call. */
  readonly calls: { inputs: Input[]; options: EncodeOptions }[];
  /** Awaited by each call. */
  before: (inputs: readonly Input[]) => Promise<void> | void;
  space: string;
}

/** Texts of the same words are near each other. A text with "unreadable" in it is refused. */
export function fakeEmbedder(space = 'fake/q8_0'): FakeEmbedder {
  const calls: FakeEmbedder['calls'] = [];
  const embedder = {
    calls,
    before: ((): void => undefined) as FakeEmbedder['before'],
    space,
    async encode(given: Input | readonly Input[], options: EncodeOptions) {
      const single = !Array.isArray(given);
      const inputs = (single ? [given] : given) as Input[];
      calls.push({ inputs, options });
      await embedder.before(inputs);
      options.signal?.throwIfAborted();
      const multi = options.returnMultivector === true;
      const dimensions = multi ? TOKEN_DIMENSIONS : (options.dimensions ?? DIMENSIONS);
      const errors: { index: number; code: 'INPUT_INVALID'; message: string }[] = [];
      const embeddings = inputs.map((input, index) => {
        const words = wordsOf(input);
        if (words.includes('unreadable')) {
          errors.push({ index, code: 'INPUT_INVALID', message: 'cannot be read' });
          return null;
        }
        // As the real prefix, whose space is a token of its own before a special one, and else part of the word.
        const tokens = ['passage', ...(words[0]?.startsWith('<|') ? [' '] : []), ...words].map((word) => wordVector(word, dimensions));
        return multi ? new RowMajorVectors(Float32Array.from(tokens.flatMap((token) => [...token])), tokens.length, dimensions) : sum(tokens, dimensions);
      });
      if (errors.length > 0 && options.onInputError !== 'null') throw new EmbedderError('INPUT_INVALID', 'bad input', { data: { inputs: errors } });
      const adapter = options.task.split('.')[0];
      const timings = { queueMs: 0, fetchMs: 0, preprocessMs: 0, computeMs: 0, totalMs: 0 };
      const result = { embeddings, dimensions, space: `${embedder.space}/${adapter}/${multi ? 'tokens' : 'mean'}-l2/${dimensions}`, source: 'local', device: 'wasm', usage: { tokens: 0, images: 0 }, errors, timings };
      return single ? { ...result, embedding: embeddings[0] } : result;
    },
  };
  return embedder as unknown as FakeEmbedder;
}

function wordsOf(input: Input): string[] {
  if (typeof input === 'string') return input.toLowerCase().match(/<\|\w+\|>|[\p{L}\p{N}]+/gu) ?? [];
  if ('text' in input) return wordsOf(input.text);
  return [`picture ${Array.from(input.image as Uint8Array).join()}`];
}

/** Numbers that depend on the word alone, of length one. */
export function wordVector(word: string, dimensions: number): Float32Array {
  let state = 7;
  for (const character of word) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x9e3779b1) >>> 0;
  const vector = Float32Array.from({ length: dimensions }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function sum(vectors: readonly Float32Array[], dimensions: number): Float32Array {
  const total = new Float32Array(dimensions);
  for (const vector of vectors) vector.forEach((value, i) => (total[i] = (total[i] ?? 0) + value));
  const norm = Math.hypot(...total);
  return total.map((value) => value / norm);
}

/** A disk that outlives the index: several may be open on it, as in several tabs. */
export class FakeDisk {
  file: Uint8Array<ArrayBuffer> | undefined;
  generation = 0;
  /** Bytes that fit; what is more fails as a full disk does. */
  capacity = Infinity;
  writes = 0;

  store(): IndexStore {
    const state = (): FileState | undefined => (this.file === undefined ? undefined : { generation: this.generation, nBytes: this.file.length });
    const keep = (file: Uint8Array): FileState => {
      if (file.length > this.capacity) throw storageError('Writing the index', new DOMException('full', 'QuotaExceededError'));
      this.file = Uint8Array.from(file);
      this.writes++;
      return state() as FileState;
    };
    return {
      kind: 'opfs',
      state: async () => state(),
      read: async (onChunk) => {
        const now = state();
        const bytes = this.file ?? new Uint8Array(0);
        for (let at = 0; at < bytes.length; at += 1000) onChunk(bytes.slice(at, at + 1000));
        return now;
      },
      write: async (offset, bytes) => {
        const file = new Uint8Array(offset + bytes.length);
        file.set((this.file ?? new Uint8Array(0)).subarray(0, offset));
        file.set(bytes, offset);
        if (this.file === undefined) this.generation++;
        return keep(file);
      },
      replace: async (chunks) => {
        const all: number[] = [];
        for await (const chunk of chunks) all.push(...chunk);
        this.generation++;
        return keep(Uint8Array.from(all));
      },
      clear: async () => void (this.file = undefined),
      close: () => undefined,
    };
  }
}

/** A search worker on a disk of the test's. */
export function searchWorker(disk: FakeDisk): Worker & FakeWorker {
  const worker = new FakeWorker();
  serveCalls(worker.inside as unknown as Port, (tell) => new SearchEngine(async () => plainFace, () => tell('change'), async () => disk.store()));
  return worker as unknown as Worker & FakeWorker;
}

export interface Opened {
  readonly index: SearchIndex;
  readonly embedder: FakeEmbedder;
  readonly disk: FakeDisk;
}

export async function openIndex(options: CreateIndexOptions & { disk?: FakeDisk; embedder?: FakeEmbedder } = {}): Promise<Opened> {
  const { disk = new FakeDisk(), embedder = fakeEmbedder(), ...rest } = options;
  return { index: await createIndex({ embedder, worker: searchWorker(disk), ...rest }), embedder, disk };
}
