// The search module in plain JavaScript, to the types of `www/lib/search/face.ts`: every search compares
// everything, in f64. The answers of the Rust index are checked against it (tests/browser/search.spec.ts),
// and the package's own tests run on it. Its file is its own: a log of JSON lines, each with a checksum.

import type { FaceBatch, FaceFields, FaceHit, FaceIndex, FaceItem, FaceQuery, FaceReader, FaceSchema, FaceStats, Filter, Scalar, SearchFace } from '../../../www/lib/search/face.js';

interface Item {
  vector: Float32Array | undefined;
  multivector: Float32Array | undefined;
  fields: FaceFields;
}

type Change =
  | { put: string; vector: number[] | null; multivector: number[] | null; fields: FaceFields }
  | { fields: string; value: FaceFields }
  | { remove: string };

const fail = (code: string, message: string): never => {
  throw { code, message };
};

export class PlainIndex implements FaceIndex {
  readonly items = new Map<string, Item>();
  #schema: FaceSchema;
  #pending: Change[] = [];
  #inCommit = 0;
  #rows = 0;
  #committedBytes = 0;
  #written = 0;
  #compaction: { chunks: Uint8Array[]; next: number } | undefined;
  opened: FaceStats['opened'] = null;
  generation = 1;
  freed = false;

  constructor(schema: FaceSchema) {
    if (schema.dimensions === undefined && schema.multivectorDimensions === undefined) fail('INPUT_INVALID', 'one of the two lengths is needed');
    if (schema.dimensions !== undefined && schema.space === undefined) fail('INPUT_INVALID', 'a space is needed');
    this.#schema = { metric: 'cosine', ...schema };
  }

  static opened(schema: FaceSchema, changes: Change[], bytes: number, discardedBytes: number, damage: string | null): PlainIndex {
    const index = new PlainIndex(schema);
    for (const change of changes) index.#apply(change);
    index.#pending = [];
    index.#committedBytes = bytes;
    index.opened = { commits: 1, discardedBytes, damage };
    return index;
  }

  schema(): FaceSchema {
    return this.#schema;
  }

  stats(): FaceStats {
    const zero = { vectors: 0, firstStage: 0, multivectors: 0, fields: 0, ids: 0, total: 0 };
    return { items: this.items.size, rows: this.#rows, pending: this.#pending.length, generation: this.generation, commits: 0, committedBytes: this.#committedBytes, wasmBytes: 0, bytes: zero, opened: this.opened };
  }

  add(batch: FaceBatch): number {
    for (const id of batch.ids) if (this.items.has(id)) fail('DUPLICATE_ID', `"${id}" is there already`);
    return this.upsert(batch).added;
  }

  upsert(batch: FaceBatch): { added: number; replaced: number } {
    const { ids, vectors, multivectors, fields } = batch;
    const { dimensions, multivectorDimensions } = this.#schema;
    if (new Set(ids).size !== ids.length) fail('DUPLICATE_ID', 'an id comes twice');
    if ((vectors !== undefined) !== (dimensions !== undefined)) fail('INPUT_INVALID', 'vectors are needed exactly where the schema has them');
    if (vectors !== undefined && batch.space !== this.#schema.space) fail('SPACE_MISMATCH', `needed the space ${this.#schema.space}, found ${batch.space}`);
    if (multivectors?.some((each) => each !== null) && batch.multivectorSpace !== this.#schema.multivectorSpace) fail('SPACE_MISMATCH', `needed the space ${this.#schema.multivectorSpace}, found ${batch.multivectorSpace}`);
    if (vectors !== undefined && vectors.length !== ids.length * (dimensions ?? 0)) fail('INPUT_INVALID', `needed ${ids.length} vectors of ${dimensions} values, found ${vectors.length} values`);
    if (vectors?.some((value) => !Number.isFinite(value))) fail('INPUT_INVALID', 'a value is not finite');
    let replaced = 0;
    ids.forEach((id, i) => {
      if (this.items.has(id)) replaced++;
      const multivector = multivectors?.[i] ?? null;
      if (multivector !== null && multivector.length % (multivectorDimensions ?? 1) !== 0) fail('INPUT_INVALID', 'a token has another length');
      this.#do({
        put: id,
        vector: vectors === undefined ? null : Array.from(vectors.subarray(i * (dimensions ?? 0), (i + 1) * (dimensions ?? 0))),
        multivector: multivector === null ? null : Array.from(multivector),
        fields: fields?.[i] ?? {},
      });
    });
    return { added: ids.length - replaced, replaced };
  }

  set_fields(ids: string[], fields: (FaceFields | null)[]): number {
    for (const id of ids) if (!this.items.has(id)) fail('INPUT_INVALID', `there is no "${id}"`);
    ids.forEach((id, i) => this.#do({ fields: id, value: fields[i] ?? {} }));
    return ids.length;
  }

  remove(ids: string[]): number {
    const there = ids.filter((id) => this.items.has(id));
    for (const id of there) this.#do({ remove: id });
    return there.length;
  }

  has(id: string): boolean {
    return this.items.has(id);
  }

  get(id: string, vectors = false): FaceItem | undefined {
    const item = this.items.get(id);
    if (item === undefined) return undefined;
    const { vector, multivector, fields } = item;
    return { id, fields, ...(vectors && vector !== undefined ? { vector } : {}), ...(vectors && multivector !== undefined ? { multivector } : {}) };
  }

  count(filter?: Filter): number {
    return this.#matching(filter).length;
  }

  find(filter: Filter | undefined, offset: number, limit: number): FaceItem[] {
    return this.#matching(filter).slice(offset, offset + limit).map(([id, { fields }]) => ({ id, fields }));
  }

  search(query: FaceQuery): FaceHit[] {
    const { vector, multivector, k, filter } = query;
    const { space, multivectorSpace, dimensions, metric, multivectorDimensions = 1 } = this.#schema;
    if (vector !== undefined && query.space !== space) fail('SPACE_MISMATCH', `needed the space ${space}, found ${query.space}`);
    if (multivector !== undefined && query.multivectorSpace !== multivectorSpace) fail('SPACE_MISMATCH', `needed the space ${multivectorSpace}, found ${query.multivectorSpace}`);
    if (vector !== undefined && vector.length !== dimensions) fail('INPUT_INVALID', `needed ${dimensions} values, found ${vector.length}`);
    const scored: FaceHit[] = [];
    for (const [id, item] of this.#matching(filter)) {
      const fields = query.fields === false ? {} : { fields: item.fields };
      if (multivector !== undefined) {
        if (item.multivector !== undefined) scored.push({ id, score: maxSim(multivector, item.multivector, multivectorDimensions, metric === 'cosine'), ...fields });
      } else if (vector !== undefined && item.vector !== undefined) {
        scored.push({ id, score: similarity(vector, item.vector, metric === 'cosine'), ...fields });
      }
    }
    return scored.sort((a, b) => b.score - a.score).slice(0, k);
  }

  token_scores(id: string, multivector: Float32Array, multivectorSpace: string): { rows: number; values: Float32Array } | undefined {
    if (multivectorSpace !== this.#schema.multivectorSpace) fail('SPACE_MISMATCH', 'another space');
    const tokens = this.items.get(id)?.multivector;
    if (tokens === undefined) return undefined;
    const d = this.#schema.multivectorDimensions ?? 1;
    const rows = tokens.length / d;
    const values = new Float32Array((multivector.length / d) * rows);
    for (let q = 0; q < multivector.length / d; q++) {
      for (let row = 0; row < rows; row++) values[q * rows + row] = similarity(multivector.subarray(q * d, (q + 1) * d), tokens.subarray(row * d, (row + 1) * d), true);
    }
    return { rows, values };
  }

  commit(): { offset: number; bytes: Uint8Array } | undefined {
    if (this.#inCommit > 0) fail('INPUT_INVALID', 'a commit is under way');
    if (this.#pending.length === 0 && this.#committedBytes > 0) return undefined;
    const header = this.#committedBytes === 0 ? line({ schema: this.#schema }) : '';
    const bytes = new TextEncoder().encode(header + line({ changes: this.#pending }));
    this.#inCommit = this.#pending.length || 1;
    this.#written = bytes.length;
    return { offset: this.#committedBytes, bytes };
  }

  confirm(): void {
    this.#pending.splice(0, this.#inCommit);
    this.#committedBytes += this.#written;
    this.#inCommit = 0;
  }

  abandon(): void {
    this.#inCommit = 0;
  }

  begin_compaction(): { totalBytes: number } {
    if (this.#compaction !== undefined) fail('INPUT_INVALID', 'a compaction is under way');
    const changes = [...this.items].map(([id, { vector, multivector, fields }]): Change => ({ put: id, vector: vector === undefined ? null : Array.from(vector), multivector: multivector === undefined ? null : Array.from(multivector), fields }));
    const chunks = [line({ schema: this.#schema }), line({ changes })].map((text) => new TextEncoder().encode(text));
    this.#compaction = { chunks, next: 0 };
    return { totalBytes: chunks.reduce((sum, { length }) => sum + length, 0) };
  }

  compaction_chunk(): Uint8Array | undefined {
    const compaction = this.#compaction ?? fail('INPUT_INVALID', 'no compaction is under way');
    return compaction.chunks[compaction.next++];
  }

  finish_compaction(keep: boolean): void {
    if (keep) {
      this.#committedBytes = (this.#compaction?.chunks ?? []).reduce((sum, { length }) => sum + length, 0);
      this.#rows = this.items.size;
      this.#pending = [];
      this.generation++;
    }
    this.#compaction = undefined;
  }

  free(): void {
    this.freed = true;
  }

  #do(change: Change): void {
    // Through text and back, as what is stored has been.
    this.#apply(JSON.parse(JSON.stringify(change)) as Change);
    this.#pending.push(change);
  }

  #apply(change: Change): void {
    if ('put' in change) {
      // A replaced item keeps its place.
      this.items.set(change.put, { vector: change.vector === null ? undefined : Float32Array.from(change.vector), multivector: change.multivector === null ? undefined : Float32Array.from(change.multivector), fields: change.fields });
      this.#rows++;
    } else if ('remove' in change) this.items.delete(change.remove);
    else (this.items.get(change.fields) as Item).fields = change.value;
  }

  #matching(filter: Filter | undefined): [string, Item][] {
    return [...this.items].filter(([id, { fields }]) => filter === undefined || matches(filter, id, fields));
  }
}

export function matches(filter: Filter, id: string, fields: FaceFields): boolean {
  if ('and' in filter) return filter.and.every((each) => matches(each, id, fields));
  if ('or' in filter) return filter.or.some((each) => matches(each, id, fields));
  if ('not' in filter) return !matches(filter.not, id, fields);
  if ('ids' in filter) return filter.ids.includes(id);
  const value = fields[filter.field];
  const is = (wanted: Scalar | null): boolean => (wanted === null ? value === undefined : Array.isArray(value) ? value.includes(wanted as string) : value === wanted);
  if ('equals' in filter) return is(filter.equals);
  if ('in' in filter) return filter.in.some(is);
  const within = (bound: number | string | undefined, holds: (a: number | string, b: number | string) => boolean): boolean =>
    bound === undefined || ((typeof value === 'number' || typeof value === 'string') && typeof value === typeof bound && holds(value, bound));
  return within(filter.gte, (a, b) => a >= b) && within(filter.gt, (a, b) => a > b) && within(filter.lte, (a, b) => a <= b) && within(filter.lt, (a, b) => a < b);
}

export function similarity(a: Float32Array, b: Float32Array, cosine: boolean): number {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return cosine ? dot / (Math.sqrt(aa * bb) || 1) : dot;
}

/** Sum over the query's tokens of the best similarity. */
export function maxSim(query: Float32Array, tokens: Float32Array, dimensions: number, cosine: boolean): number {
  let sum = 0;
  for (let q = 0; q < query.length; q += dimensions) {
    let best = -Infinity;
    for (let t = 0; t < tokens.length; t += dimensions) best = Math.max(best, similarity(query.subarray(q, q + dimensions), tokens.subarray(t, t + dimensions), cosine));
    sum += best;
  }
  return sum;
}

class PlainReader implements FaceReader {
  #bytes: number[] = [];
  readonly #recover: boolean;

  constructor({ recover = false }: { recover?: boolean } = {}) {
    this.#recover = recover;
  }

  push(chunk: Uint8Array): void {
    for (const byte of chunk) this.#bytes.push(byte);
  }

  finish(): FaceIndex {
    const text = new TextDecoder('latin1').decode(Uint8Array.from(this.#bytes));
    const lines = text.split('\n');
    // What follows the last line's end is a commit that was cut off.
    let discarded = lines.pop()?.length ?? 0;
    const read = lines.map(unline);
    const schema = read[0]?.['schema'] as FaceSchema | undefined;
    if (schema === undefined) return fail('INDEX_INVALID', 'this is no index file');
    const bad = read.findIndex((each) => each === undefined);
    if (bad >= 0 && bad < read.length - 1 && !this.#recover) return fail('INDEX_INVALID', `line ${bad} is damaged`);
    const good = bad < 0 ? read : read.slice(0, bad);
    const kept = lines.slice(0, good.length).reduce((sum, { length }) => sum + length + 1, 0);
    discarded = this.#bytes.length - kept;
    const changes = good.slice(1).flatMap((each) => each?.['changes'] as Change[]);
    return PlainIndex.opened(schema, changes, kept, discarded, bad >= 0 && bad < read.length - 1 ? `line ${bad}` : null);
  }

  free(): void {
    this.#bytes = [];
  }
}

function line(value: unknown): string {
  // ASCII only, so that bytes and characters are the same.
  const text = JSON.stringify(value).replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `${checksum(text)} ${text}\n`;
}

function unline(text: string): Record<string, unknown> | undefined {
  const space = text.indexOf(' ');
  return checksum(text.slice(space + 1)) === text.slice(0, space) ? (JSON.parse(text.slice(space + 1)) as Record<string, unknown>) : undefined;
}

/** FNV-1a. */
function checksum(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16);
}

export const plainFace: SearchFace = {
  SearchIndex: PlainIndex,
  IndexReader: PlainReader,
  ImagePreprocessor: class {
    size(width: number, height: number): { rows: number; columns: number; tokens: number } {
      const [rows, columns] = [Math.round(height / 28), Math.round(width / 28)];
      return { rows, columns, tokens: rows * columns };
    }
    free(): void {
      // Nothing is held.
    }
  },
};
