// One open index: the edge module holds vectors and fields, MiniSearch the words, the store the file. Calls
// that change something take turns, with other tabs too:
//
//   lock ─► read what others committed ─► change ─► commit ─► write ─► confirm ─► tell the others
//
// A change that cannot be written is taken back by reading the file again, so that what a call rejects
// is never half there. Searches wait for nobody; they read what others committed when they hear of it.

import { EmbedderError, reasonOf } from '../../errors.js';
import { compileFilter } from '../filter.js';
import type { FaceBatch, FaceIndex, Filter as FaceFilter, SearchFace } from '../face.js';
import { compareSpaces } from '../../spaces.js';
import { CONTENT_HASH, DETAILS_HASH, itemFields, itemId, PASSAGES, readItem, storedDocument, type DocumentRecord } from '../records.js';
import { READ_BYTES, type FileState, type IndexStore } from '../store/store.js';
import type { Filter, Hit, IndexInfo, StorageKind, StoredDocument } from '../types.js';
import { Finder } from './finder.js';
import { Guard } from './guard.js';
import type { EngineCalls, ExplainRequest, ExportedItem, FindRequest, Known, OpenRequest, PutRequest } from './requests.js';
import { Turns } from './turns.js';

/** The file is rewritten when it holds this many times what lives, and this much more. */
const WASTE_RATIO = 2;
const WASTE_ROWS = 256;

/** Of a document's passages the first carries their number. */
const FIRST_PASSAGES: FaceFilter = { field: PASSAGES, gte: 0 };

/** Of the lock and the channel that all who have this index open share. */
export function lockName(kind: StorageKind, name: string): string | undefined {
  return kind === 'memory' ? undefined : `jina-embeddings-web/search/${kind}/${name}`;
}

export class Opened {
  readonly #request: OpenRequest;
  readonly #face: SearchFace;
  readonly #store: IndexStore;
  readonly #guard = new Guard();
  readonly #turns: Turns;
  readonly #channel: BroadcastChannel | undefined;
  readonly #finder: Finder;
  /** `undefined` while the index is empty: lengths and spaces come with the first vectors. */
  #index: FaceIndex | undefined;
  /** The file that `#index` is. */
  #state: FileState | undefined;
  #stale = false;
  #reading: Promise<void> | undefined;

  constructor(request: OpenRequest, face: SearchFace, store: IndexStore, tellChange: () => void) {
    this.#request = request;
    this.#face = face;
    this.#store = store;
    this.#finder = new Finder(this.#guard, request.keywordFields);
    const name = lockName(store.kind, request.name);
    this.#turns = new Turns(name);
    if (name === undefined || typeof BroadcastChannel === 'undefined') return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = () => {
      this.#stale = true;
      tellChange();
    };
  }

  start(): Promise<void> {
    return this.#turns.read(() => this.#read());
  }

  async known(ids: readonly string[]): Promise<(Known | null)[]> {
    await this.#fresh();
    return ids.map((id) => {
      const fields = this.#first(id);
      if (fields === undefined) return null;
      return { contentHash: String(fields[CONTENT_HASH] ?? ''), detailsHash: String(fields[DETAILS_HASH] ?? '') };
    });
  }

  put(given: PutRequest): Promise<void> {
    return this.#change(() => {
      const request = this.#withOwnSpaces(given);
      const { records, mode } = request;
      if (records.length === 0) return;
      if (mode === 'add') {
        const there = records.find(({ id }) => this.#first(id) !== undefined);
        if (there !== undefined) throw new EmbedderError('DUPLICATE_ID', `The index already has a document "${there.id}"; \`update\` replaces it`, { data: { id: there.id } });
      }
      const embedded = records.filter(({ vectors, multivectors }) => vectors !== undefined || multivectors !== undefined);
      const renamed = records.filter((record) => !embedded.includes(record));
      const leftOver = embedded.flatMap((record) => this.#itemIds(record.id).slice(record.passages.length));
      if (embedded.length > 0) this.#upsert(embedded, request);
      if (renamed.length > 0) this.#setFields(renamed);
      // Last, since it cannot fail: up to here a bad record leaves everything as it was.
      if (leftOver.length > 0) this.#guard.call(() => this.#index?.remove(leftOver));
      this.#finder.removed(leftOver);
      for (const record of records) this.#finder.put(record);
    });
  }

  remove(ids: readonly string[]): Promise<number> {
    return this.#change(() => {
      const there = [...new Set(ids)].filter((id) => this.#first(id) !== undefined);
      const items = there.flatMap((id) => this.#itemIds(id));
      if (items.length > 0) this.#guard.call(() => this.#index?.remove(items));
      this.#finder.removed(items);
      return there.length;
    });
  }

  async find(request: FindRequest): Promise<Hit[]> {
    for (;;) {
      await this.#fresh();
      const hits = this.#index === undefined ? [] : await this.#finder.find(this.#index, this.#withOwnSpaces(request));
      if (hits !== undefined) return hits;
    }
  }

  async explain({ document, passage, multivector, multivectorSpace, image }: ExplainRequest): ReturnType<EngineCalls['explain']> {
    await this.#fresh();
    const { multivectorSpace: space } = this.#withOwnSpaces({ space: undefined, multivectorSpace });
    const scores = this.#guard.call(() => this.#index?.token_scores(itemId(document, passage), multivector, space));
    if (scores === undefined) return undefined;
    return { rows: scores.rows, values: scores.values, grid: image === undefined ? undefined : this.grid(image) };
  }

  grid({ width, height, minPixels, maxPixels }: NonNullable<ExplainRequest['image']>): { rows: number; columns: number } {
    return this.#guard.call(() => {
      const preprocessor = new this.#face.ImagePreprocessor({ ...(minPixels === undefined ? {} : { minPixels }), ...(maxPixels === undefined ? {} : { maxPixels }) });
      const { rows, columns } = preprocessor.size(width, height);
      preprocessor.free();
      return { rows, columns };
    });
  }

  async get(id: string): Promise<StoredDocument | undefined> {
    await this.#fresh();
    return this.#document(id);
  }

  async list({ offset, limit, filter }: { offset: number; limit: number; filter: Filter | undefined }): Promise<StoredDocument[]> {
    await this.#fresh();
    const found = this.#guard.call(() => this.#index?.find(documents(filter), offset, limit)) ?? [];
    return found.flatMap((item) => this.#document(readItem(item).document) ?? []);
  }

  async count(filter: Filter | undefined): Promise<number> {
    await this.#fresh();
    return this.#guard.call(() => this.#index?.count(documents(filter))) ?? 0;
  }

  async info(): Promise<IndexInfo> {
    await this.#fresh();
    const schema = this.#guard.call(() => this.#index?.schema());
    const stats = this.#guard.call(() => this.#index?.stats());
    const none = { vectors: 0, firstStage: 0, multivectors: 0, fields: 0, ids: 0, total: 0 };
    return {
      name: this.#request.name,
      storage: this.#store.kind,
      space: schema?.space,
      multivectorSpace: schema?.multivectorSpace,
      dimensions: schema?.dimensions,
      multivectorDimensions: schema?.multivectorDimensions,
      documents: await this.count(undefined),
      passages: stats?.items ?? 0,
      fileBytes: this.#store.kind === 'memory' ? 0 : (this.#state?.nBytes ?? 0),
      memoryBytes: { ...none, ...stats?.bytes, wasm: stats?.wasmBytes ?? 0 },
      opened: stats?.opened === undefined || stats.opened === null ? null : { discardedBytes: stats.opened.discardedBytes, damage: stats.opened.damage },
    };
  }

  async items({ offset, limit }: { offset: number; limit: number }): Promise<ExportedItem[]> {
    await this.#fresh();
    const index = this.#index;
    if (index === undefined) return [];
    return this.#guard.call(() => index.find(undefined, offset, limit)).map((item) => {
      const { document, index: passage, text, title, fields } = readItem(item);
      const full = this.#guard.call(() => index.get(item.id, true));
      return { document, passage, text, title, fields, vector: full?.vector, multivector: full?.multivector };
    });
  }

  compact(): Promise<void> {
    return this.#change(() => undefined, () => this.#compact());
  }

  clear(): Promise<void> {
    return this.#change(
      () => undefined,
      async () => {
        await this.#store.clear();
        this.#take(undefined, undefined);
      },
    );
  }

  async exportFile(): Promise<Blob> {
    // A turn of the writer's, since a change would end the export's view of the index.
    return this.#change(() => {
      const index = this.#index;
      if (index === undefined) return new Blob([]);
      this.#guard.call(() => index.begin_compaction());
      try {
        return new Blob([...this.#compactedChunks(index)] as Uint8Array<ArrayBuffer>[], { type: 'application/octet-stream' });
      } finally {
        this.#guard.call(() => index.finish_compaction(false));
      }
    });
  }

  async importFile(file: Blob): Promise<void> {
    const reader = this.#guard.call(() => new this.#face.IndexReader({ recover: false }));
    try {
      for await (const chunk of chunksOf(file)) this.#guard.call(() => reader.push(chunk));
    } catch (error) {
      reader.free();
      throw error;
    }
    const imported = this.#guard.call(() => reader.finish());
    return this.#change(
      () => undefined,
      async () => {
        try {
          this.#take(imported, await this.#store.replace(chunksOf(file)));
        } catch (error) {
          imported.free();
          throw error;
        }
      },
    );
  }

  /** Waits for the changes under way. */
  settle(): Promise<void> {
    return this.#turns.write(async () => undefined);
  }

  close(): void {
    this.#channel?.close();
    this.#store.close();
    this.#index?.free();
    this.#index = undefined;
  }

  /** Runs `change` and writes what it did; `instead` takes the place of writing. */
  async #change<T>(change: () => T, instead?: () => Promise<void>): Promise<T> {
    return this.#turns.write(async () => {
      await this.#finder.settled();
      const state = await this.#store.state();
      if (state?.generation !== this.#state?.generation || state?.nBytes !== this.#state?.nBytes) await this.#read();
      const value = await this.#takeBackOnFailure(change);
      if (instead !== undefined) await instead();
      else if (!(await this.#write())) return value;
      this.#channel?.postMessage('commit');
      return value;
    });
  }

  /** Close spaces by the index's own names, where the caller said that they may be taken for each other. */
  #withOwnSpaces<S extends string | undefined, R extends { readonly space: string | undefined; readonly multivectorSpace: S }>(request: R): R {
    if (!this.#request.acceptClose || this.#index === undefined) return request;
    const { space, multivectorSpace } = this.#index.schema();
    const own = (mine: string | undefined, given: string | undefined): string | undefined =>
      mine !== undefined && given !== undefined && compareSpaces(mine, given) === 'close' ? mine : given;
    return { ...request, space: own(space, request.space), multivectorSpace: own(multivectorSpace, request.multivectorSpace) };
  }

  /** Most changes are whole or not made at all; of those made in steps the first steps are undone. */
  async #takeBackOnFailure<T>(change: () => T): Promise<T> {
    try {
      return change();
    } catch (error) {
      const half = this.#store.kind !== 'memory' && this.#guard.call(() => this.#index?.stats().pending ?? 0) > 0;
      if (half) await this.#read();
      throw error;
    }
  }

  /** Writes what changed since the last commit, if anything did. */
  async #write(): Promise<boolean> {
    const index = this.#index;
    const commit = this.#guard.call(() => index?.commit());
    if (index === undefined || commit === undefined) return false;
    try {
      this.#state = await this.#store.write(commit.offset, commit.bytes);
    } catch (error) {
      this.#guard.call(() => index.abandon());
      await this.#read().catch((cause: unknown) => {
        throw new EmbedderError('IO', `The index could not be written (${reasonOf(error)}), nor read again`, { cause });
      });
      throw error;
    }
    this.#guard.call(() => index.confirm());
    const { rows, items } = this.#guard.call(() => index.stats());
    if (rows > WASTE_RATIO * items + WASTE_ROWS) await this.#compact();
    return true;
  }

  async #compact(): Promise<void> {
    const index = this.#index;
    if (index === undefined) return;
    this.#guard.call(() => index.begin_compaction());
    let whole = false;
    try {
      this.#state = await this.#store.replace(this.#compactedChunks(index));
      whole = true;
    } finally {
      this.#guard.call(() => index.finish_compaction(whole));
    }
  }

  *#compactedChunks(index: FaceIndex): Generator<Uint8Array> {
    for (;;) {
      const chunk = this.#guard.call(() => index.compaction_chunk());
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  /** Reads what others committed, if they did. */
  async #fresh(): Promise<void> {
    if (this.#stale) {
      this.#stale = false;
      this.#reading = this.#turns.read(() => this.#read());
    }
    await this.#reading;
  }

  /** Opens the file as it is now. Fails with `INDEX_INVALID` or `INDEX_UNSUPPORTED`, and then leaves what was open. */
  async #read(): Promise<void> {
    if (this.#store.kind === 'memory' && this.#index === undefined) return;
    const reader = this.#guard.call(() => new this.#face.IndexReader({ recover: this.#request.recover }));
    let state: FileState | undefined;
    try {
      state = await this.#store.read((bytes) => this.#guard.call(() => reader.push(bytes)));
    } catch (error) {
      reader.free();
      throw error;
    }
    if (state === undefined || state.nBytes === 0) {
      reader.free();
      this.#take(undefined, state);
    } else {
      this.#take(this.#guard.call(() => reader.finish()), state);
    }
  }

  #take(index: FaceIndex | undefined, state: FileState | undefined): void {
    const before = this.#index;
    this.#index = index;
    this.#state = state;
    this.#finder.reset(index);
    if (before !== index) before?.free();
  }

  #upsert(records: readonly DocumentRecord[], { space, multivectorSpace }: PutRequest): void {
    const ids: string[] = [];
    const vectors: Float32Array[] = [];
    const multivectors: (Float32Array | null)[] = [];
    const fields: FaceBatch['fields'] = [];
    for (const record of records) {
      record.passages.forEach((_, i) => {
        ids.push(itemId(record.id, i));
        const vector = record.vectors?.[i];
        if (vector !== undefined) vectors.push(vector);
        multivectors.push(record.multivectors?.[i] ?? null);
        fields.push(itemFields(record, i));
      });
    }
    const dimensions = vectors[0]?.length;
    const batch: FaceBatch = {
      ids,
      fields,
      ...(dimensions === undefined ? {} : { vectors: joined(vectors, dimensions, ids), ...(space === undefined ? {} : { space }) }),
      ...(multivectors.every((each) => each === null) ? {} : { multivectors, ...(multivectorSpace === undefined ? {} : { multivectorSpace }) }),
    };
    const created = this.#index === undefined;
    const index = (this.#index ??= this.#create(batch, dimensions, records));
    try {
      this.#guard.call(() => index.upsert(batch));
    } catch (error) {
      if (created) {
        this.#index = undefined;
        index.free();
      }
      throw error;
    }
    if (created) this.#finder.reset(index);
  }

  #create(batch: FaceBatch, dimensions: number | undefined, records: readonly DocumentRecord[]): FaceIndex {
    const first = records.find(({ multivectors }) => multivectors !== undefined);
    const length = first?.tokenDimensions;
    return this.#guard.call(
      () =>
        new this.#face.SearchIndex({
          ...this.#request.schema,
          ...(dimensions === undefined ? {} : { dimensions, ...(batch.space === undefined ? {} : { space: batch.space }) }),
          ...(length === undefined ? {} : { multivectorDimensions: length, ...(batch.multivectorSpace === undefined ? {} : { multivectorSpace: batch.multivectorSpace }) }),
        }),
    );
  }

  #setFields(records: readonly DocumentRecord[]): void {
    const ids = records.flatMap(({ id, passages }) => passages.map((_, i) => itemId(id, i)));
    const fields = records.flatMap((record) => record.passages.map((_, i) => itemFields(record, i)));
    this.#guard.call(() => this.#index?.set_fields(ids, fields));
  }

  /** The fields of a document's first passage. */
  #first(document: string): Record<string, unknown> | undefined {
    return this.#guard.call(() => this.#index?.get(itemId(document, 0)))?.fields;
  }

  #itemIds(document: string): string[] {
    const n = Number(this.#first(document)?.[PASSAGES] ?? 0);
    return Array.from({ length: n }, (_, i) => itemId(document, i));
  }

  #document(id: string): StoredDocument | undefined {
    return storedDocument(this.#itemIds(id).flatMap((item) => {
      const found = this.#guard.call(() => this.#index?.get(item));
      return found === undefined ? [] : [readItem(found)];
    }));
  }
}

/** The first passages of the documents that a filter lets through: one for each. */
function documents(filter: Filter | undefined): FaceFilter {
  return filter === undefined ? FIRST_PASSAGES : { and: [FIRST_PASSAGES, compileFilter(filter)] };
}

/** `[n, dimensions]`. Fails with `INPUT_INVALID` naming the first that has another length. */
function joined(vectors: readonly Float32Array[], dimensions: number, ids: readonly string[]): Float32Array {
  const values = new Float32Array(vectors.length * dimensions);
  vectors.forEach((vector, i) => {
    if (vector.length !== dimensions) {
      throw new EmbedderError('INPUT_INVALID', `the vector of "${ids[i]}" needs ${dimensions} values, as the one of "${ids[0]}" has; found ${vector.length}`, { data: { needed: dimensions, found: vector.length } });
    }
    values.set(vector, i * dimensions);
  });
  return values;
}

async function* chunksOf(file: Blob): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += READ_BYTES) yield new Uint8Array(await file.slice(at, at + READ_BYTES).arrayBuffer());
}
