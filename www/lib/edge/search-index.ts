import { EmbedderError } from '../errors.js';
import type { FaceBatch, FaceQuery } from '../search/face.js';
import type { Guard } from '../search/engine/guard.js';
import type { EdgeFaceIndex } from './face.js';
import type { EdgeHit, EdgeIndex, EdgeIndexSchema, EdgeItems, EdgeQuery, Filter } from './types.js';

/** An index in the module's memory. */
export class SearchIndex implements EdgeIndex {
  readonly schema: EdgeIndexSchema;
  readonly #guard: Guard;
  #inner: EdgeFaceIndex | undefined;

  constructor(guard: Guard, inner: EdgeFaceIndex) {
    this.#guard = guard;
    this.#inner = inner;
    this.schema = this.#call((index) => index.schema());
  }

  get size(): number {
    return this.#call((index) => index.stats().items);
  }

  add(items: EdgeItems): void {
    this.#call((index) => index.add(batchOf(items)));
  }

  upsert(items: EdgeItems): { added: number; replaced: number } {
    return this.#call((index) => index.upsert(batchOf(items)));
  }

  remove(ids: readonly string[]): number {
    return this.#call((index) => index.remove([...ids]));
  }

  removeWhere(filter: Filter): number {
    return this.#call((index) => index.remove_where(filter));
  }

  get(id: string): ReturnType<EdgeIndex['get']> {
    return this.#call((index) => index.get(id, true));
  }

  search(query: EdgeQuery): EdgeHit[] {
    return this.#call((index) => index.search({ k: 10, ...defined(query) } as FaceQuery)) as EdgeHit[];
  }

  *file(): Iterable<Uint8Array> {
    this.#call((index) => index.begin_compaction());
    try {
      for (let piece; (piece = this.#call((index) => index.compaction_chunk())) !== undefined; ) yield piece;
    } finally {
      // Also where the caller stops early.
      this.#call((index) => index.finish_compaction(false));
    }
  }

  free(): void {
    const inner = this.#inner;
    this.#inner = undefined;
    if (inner !== undefined) this.#guard.call(() => inner.free());
  }

  #call<T>(run: (index: EdgeFaceIndex) => T): T {
    const inner = this.#inner;
    if (inner === undefined) throw new EmbedderError('DISPOSED', 'The index was freed');
    return this.#guard.call(() => run(inner));
  }
}

function batchOf({ vectors, ...rest }: EdgeItems): FaceBatch {
  const flat = vectors === undefined || vectors instanceof Float32Array ? vectors : joined(vectors);
  return { ...defined(rest), ...(flat === undefined ? {} : { vectors: flat }) } as FaceBatch;
}

/** The vectors one after the other. That each has the right length is for the index to check. */
function joined(vectors: readonly Float32Array[]): Float32Array {
  const lengths = new Set(vectors.map(({ length }) => length));
  if (lengths.size > 1) throw new EmbedderError('INPUT_INVALID', `The vectors of a batch need one length, found ${[...lengths].join(' and ')}`);
  const width = vectors[0]?.length ?? 0;
  const all = new Float32Array(vectors.length * width);
  vectors.forEach((vector, row) => all.set(vector, row * width));
  return all;
}

/** Without the fields that are there and `undefined`. */
function defined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
