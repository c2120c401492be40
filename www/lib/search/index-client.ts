// The index that a page holds: embeds documents and queries, and passes vectors on to the engine.

import { EmbedderError, isRecord } from '../errors.js';
import type { EncodeOptions, Input, MultiVector } from '../types.js';
import { embed } from './embed.js';
import { explain } from './explain.js';
import { exportNpy, exportQdrant } from './export.js';
import { DEFAULT_BATCH_SIZE, IngestRun, sortByChange, withoutVectors } from './ingest.js';
import { modelLimits } from './model-limits.js';
import { prepare, type Prepared, type Recipe } from './prepare.js';
import type { Caller } from './rpc.js';
import type {
  ChangeListener, ExplainOptions, Explanation, Filter, IndexInfo, Ingest, IngestOptions, NpyExport, QdrantExport, SearchDocument, SearchEmbedder, SearchIndex, SearchMode, SearchOptions,
  SearchQuery, SearchResult, StoredDocument,
} from './types.js';

const DEFAULT_K = 10;
/** Documents of one page of `list`, where none is named. */
const DEFAULT_LIMIT = 100;
/** Vectors of the latest queries: typing back and forth asks for the same ones again. */
const KEPT_QUERIES = 32;

interface QueryVectors {
  readonly vector: Float32Array | undefined;
  readonly space: string | undefined;
  readonly multivector: Float32Array | undefined;
  readonly multivectorSpace: string | undefined;
}

export interface ClientSettings {
  readonly name: string;
  readonly embedder: SearchEmbedder | undefined;
  readonly recipe: Recipe;
  readonly metric: 'cosine' | 'dot';
}

export class IndexClient implements SearchIndex {
  readonly name: string;
  readonly #settings: ClientSettings;
  readonly #engine: Caller;
  readonly #end: () => void;
  readonly #listeners = new Set<ChangeListener>();
  readonly #queries = new Map<string, QueryVectors>();
  #closing: Promise<void> | undefined;

  constructor(settings: ClientSettings, engine: Caller, end: () => void) {
    this.name = settings.name;
    this.#settings = settings;
    this.#engine = engine;
    this.#end = end;
  }

  add(documents: SearchDocument | readonly SearchDocument[], { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#putAll(documents, 'add', signal);
  }

  update(documents: SearchDocument | readonly SearchDocument[], { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#putAll(documents, 'update', signal);
  }

  async #putAll(given: SearchDocument | readonly SearchDocument[], mode: 'add' | 'update', signal = new AbortController().signal): Promise<void> {
    signal.throwIfAborted();
    const documents = (Array.isArray(given) ? given : [given]) as readonly SearchDocument[];
    const { recipe, embedder } = this.#settings;
    const prepared: Prepared[] = [];
    const seen = new Set<string>();
    for (const [i, document] of documents.entries()) {
      const each = await prepare(document, recipe, `document ${i}`, signal);
      if (seen.has(each.id)) throw duplicate(each.id, 'two documents of one call have this id');
      seen.add(each.id);
      prepared.push(each);
    }
    const known = await this.#engine.call('known', [prepared.map(({ id }) => id)], signal);
    const there = mode === 'add' ? prepared.find((_, i) => known[i] !== null) : undefined;
    // Before anything is embedded; the engine looks again when it has the turn.
    if (there !== undefined) throw duplicate(there.id, 'the index has a document of this id already; `update` replaces it');
    const { changed, renamed } = await sortByChange(prepared, { known: async () => known });
    const hooks = { signal, batchSize: DEFAULT_BATCH_SIZE, between: async () => signal.throwIfAborted(), onEmbedded: () => undefined };
    const { records, failed, space, multivectorSpace } = await embed(changed, embedder, recipe, hooks);
    if (failed[0] !== undefined) throw failed[0].error;
    signal.throwIfAborted();
    await this.#put({ mode, records: [...records, ...withoutVectors(renamed)], space, multivectorSpace });
  }

  async #put(request: Parameters<IngestTargetPut>[0]): Promise<void> {
    if (request.records.length === 0) return;
    await this.#engine.call('put', [request]);
    this.changed('own');
  }

  async delete(ids: string | readonly string[]): Promise<number> {
    const list = typeof ids === 'string' ? [ids] : ids;
    if (!Array.isArray(list) || list.some((id) => typeof id !== 'string')) throw new EmbedderError('INPUT_INVALID', '`delete` needs an id or a list of ids');
    const n = await this.#engine.call('remove', [list]);
    if (n > 0) this.changed('own');
    return n;
  }

  ingest(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>, options: IngestOptions = {}): Ingest {
    const { embedder, recipe } = this.#settings;
    const target = {
      embedder, recipe,
      known: (ids: readonly string[]) => this.#engine.call('known', [ids]),
      put: (request: Parameters<IngestTargetPut>[0]) => this.#put(request),
      remove: (ids: readonly string[]) => this.delete(ids),
      ids: () => this.#ids(),
    };
    return new IngestRun(documents, target, options);
  }

  async *#ids(): AsyncGenerator<string> {
    for (let offset = 0; ; offset += DEFAULT_LIMIT) {
      const found = await this.list({ offset, limit: DEFAULT_LIMIT });
      for (const { id } of found) yield id;
      if (found.length < DEFAULT_LIMIT) return;
    }
  }

  async search(query: SearchQuery, options: SearchOptions = {}): Promise<SearchResult> {
    const { k = DEFAULT_K, filter, prefix = true, exact = false, candidates, weights, signal } = options;
    for (const [name, value] of Object.entries({ k, candidates })) {
      if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) throw new EmbedderError('INPUT_INVALID', `option \`${name}\` must be a whole number above 0, not ${String(value)}`);
    }
    const weight = { vector: weights?.vector ?? 1, keyword: weights?.keyword ?? 1 };
    if (!(weight.vector >= 0 && weight.keyword >= 0)) throw new EmbedderError('INPUT_INVALID', 'option `weights` must hold numbers of 0 or more');
    const text = textOf(query);
    const mode = this.#mode(query, text, options.mode);
    const started = performance.now();
    const vectors = mode === 'keyword' ? undefined : await this.#queryVectors(query, options.multivector ?? this.#settings.recipe.multivector, signal);
    const embedded = performance.now();
    const hits = await this.#engine.call(
      'find',
      [{ mode, text, k, filter, prefix, exact, candidates, weights: weight, vector: vectors?.vector, space: vectors?.space, multivector: vectors?.multivector, multivectorSpace: vectors?.multivectorSpace }],
      signal,
    );
    return { hits, mode, timings: { embedMs: embedded - started, searchMs: performance.now() - embedded } };
  }

  #mode(query: SearchQuery, text: string | undefined, wanted: SearchMode | undefined): SearchMode {
    const hasVector = isRecord(query) && ('vector' in query || 'image' in query);
    if (text === undefined && !hasVector) throw new EmbedderError('INPUT_INVALID', 'a query must be a text, an { image } or a { vector, space }');
    if (wanted !== undefined && wanted !== 'vector' && wanted !== 'keyword' && wanted !== 'hybrid') {
      throw new EmbedderError('INPUT_INVALID', `option \`mode\` must be "vector", "keyword" or "hybrid", not ${JSON.stringify(wanted)}`);
    }
    if (wanted !== 'vector' && wanted !== undefined && text === undefined) throw new EmbedderError('INPUT_INVALID', `a query without a text cannot be searched by ${wanted === 'hybrid' ? 'keyword too' : 'keyword'}`);
    if (wanted !== undefined) return wanted;
    if (text === undefined) return 'vector';
    return hasVector || this.#settings.embedder !== undefined ? 'hybrid' : 'keyword';
  }

  async #queryVectors(query: SearchQuery, multivector: boolean, signal: AbortSignal | undefined): Promise<QueryVectors> {
    if (isRecord(query) && 'vector' in query) {
      return { vector: query.vector, space: query.space, multivector: query.multivector?.values, multivectorSpace: query.multivectorSpace };
    }
    const input: Input = typeof query === 'string' ? { text: query } : query;
    const key = 'text' in input ? `${multivector} ${input.text}` : undefined;
    const kept = key === undefined ? undefined : this.#queries.get(key);
    if (kept !== undefined) return kept;
    const { vector, space } = await this.#encode(input, signal);
    const tokens = multivector ? await this.#encodeTokens('query', [input], signal) : undefined;
    const vectors: QueryVectors = { vector, space, multivector: tokens?.embeddings[0]?.values, multivectorSpace: tokens?.space };
    if (key !== undefined) {
      this.#queries.set(key, vectors);
      const [oldest] = this.#queries.keys();
      if (this.#queries.size > KEPT_QUERIES && oldest !== undefined) this.#queries.delete(oldest);
    }
    return vectors;
  }

  async #encode(input: Input, signal: AbortSignal | undefined): Promise<{ vector: Float32Array; space: string }> {
    const { dimensions } = this.#settings.recipe;
    const { embedding, space } = await this.#embedder.encode(input, { task: this.#task('query'), signal, ...(dimensions === undefined ? {} : { dimensions }) });
    return { vector: embedding as Float32Array, space };
  }

  #encodeTokens(side: 'query' | 'passage', inputs: readonly Input[], signal: AbortSignal | undefined): Promise<{ embeddings: readonly MultiVector[]; space: string }> {
    return this.#embedder.encode(inputs, { task: this.#task(side), signal, returnMultivector: true });
  }

  #task(side: 'query' | 'passage'): EncodeOptions['task'] {
    const { task } = this.#settings.recipe;
    return (task === 'text-matching' ? task : `${task}.${side}`) as EncodeOptions['task'];
  }

  get #embedder(): SearchEmbedder {
    const { embedder } = this.#settings;
    if (embedder === undefined) throw new EmbedderError('INPUT_INVALID', 'The index has no embedder for this query: give `embedder` to `createIndex`, or a query of { vector, space }');
    return embedder;
  }

  explain(id: string, query: string, options: ExplainOptions = {}): Promise<Explanation> {
    return explain(id, query, options, {
      encodeTokens: (side, inputs, signal) => this.#encodeTokens(side, inputs, signal),
      grid: (image) => this.#engine.call('grid', [image], options.signal),
      explain: (request) => this.#engine.call('explain', [request], options.signal),
      limits: modelLimits(this.#settings.embedder),
    });
  }

  get(id: string): Promise<StoredDocument | undefined> {
    return this.#engine.call('get', [id]);
  }

  list({ offset = 0, limit = DEFAULT_LIMIT, filter }: { offset?: number | undefined; limit?: number | undefined; filter?: Filter | undefined } = {}): Promise<StoredDocument[]> {
    return this.#engine.call('list', [{ offset, limit, filter }]);
  }

  count(filter?: Filter): Promise<number> {
    return this.#engine.call('count', [filter]);
  }

  info(): Promise<IndexInfo> {
    return this.#engine.call('info', []);
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners. */
  changed(source: 'own' | 'other'): void {
    for (const listener of this.#listeners) {
      try {
        listener({ source });
      } catch (error) {
        // The listener's own affair: reported as uncaught.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  compact(): Promise<void> {
    return this.#engine.call('compact', []);
  }

  async clear(): Promise<void> {
    await this.#engine.call('clear', []);
    this.#queries.clear();
    this.changed('own');
  }

  export(): Promise<Blob> {
    return this.#engine.call('exportFile', []);
  }

  async import(file: Blob): Promise<void> {
    await this.#engine.call('importFile', [file]);
    this.changed('own');
  }

  async exportNpy(): Promise<NpyExport> {
    return exportNpy(await this.info(), (request) => this.#engine.call('items', [request]));
  }

  async exportQdrant({ batchSize }: { batchSize?: number | undefined } = {}): Promise<QdrantExport> {
    return exportQdrant(await this.info(), this.#settings.metric, (request) => this.#engine.call('items', [request]), batchSize);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#engine.call('close', []).catch(() => undefined); // a worker that is gone needs no closing
    this.#engine.fail(new EmbedderError('DISPOSED', 'The index was closed'));
    this.#end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function textOf(query: SearchQuery): string | undefined {
  const text: unknown = isRecord(query) ? (query as Record<string, unknown>)['text'] : query;
  return typeof text === 'string' ? text : undefined;
}

type IngestTargetPut = import('./ingest.js').IngestTarget['put'];

function duplicate(id: string, why: string): EmbedderError {
  return new EmbedderError('DUPLICATE_ID', `"${id}": ${why}`, { data: { id } });
}
