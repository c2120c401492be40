// Many documents, batch by batch: prepare, leave out what is unchanged, embed, commit. Each batch is
// searchable and on the disk before the next one begins; a document that fails fails alone.

import { abortError, EmbedderError, isAbortError } from '../errors.js';
import { embed, type EmbedHooks } from './embed.js';
import { prepare, type Prepared, type Recipe } from './prepare.js';
import type { Known, PutRequest } from './engine/requests.js';
import type { Ingest, IngestOptions, IngestOutcome, IngestProgress, IngestReport, SearchDocument, SearchEmbedder } from './types.js';

/** What an ingest needs of its index. */
export interface IngestTarget {
  readonly embedder: SearchEmbedder | undefined;
  readonly recipe: Recipe;
  known(ids: readonly string[]): Promise<(Known | null)[]>;
  put(request: PutRequest): Promise<void>;
  remove(ids: readonly string[]): Promise<number>;
  ids(): AsyncIterable<string>;
}

export const DEFAULT_BATCH_SIZE = 16;
/** Documents that are looked up together while nothing of them is embedded. */
const MAX_BATCH_DOCUMENTS = 64;

/** Documents of a batch that need embedding, and those of which only title or fields have changed. */
export interface Sorted {
  readonly changed: readonly Prepared[];
  readonly renamed: readonly Prepared[];
  readonly unchanged: readonly Prepared[];
}

export async function sortByChange(documents: readonly Prepared[], target: Pick<IngestTarget, 'known'>): Promise<Sorted> {
  const known = await target.known(documents.map(({ id }) => id));
  const same = documents.map(({ contentHash }, i) => known[i]?.contentHash === contentHash);
  return {
    changed: documents.filter((_, i) => !same[i]),
    renamed: documents.filter(({ detailsHash }, i) => same[i] && known[i]?.detailsHash !== detailsHash),
    unchanged: documents.filter(({ detailsHash }, i) => same[i] && known[i]?.detailsHash === detailsHash),
  };
}

/** As records that keep the vectors they have. */
export function withoutVectors(documents: readonly Prepared[]): PutRequest['records'] {
  return documents.map(({ source: _source, ...details }) => ({ ...details, vectors: undefined, multivectors: undefined, tokenDimensions: undefined }));
}

export class IngestRun implements Ingest {
  readonly done: Promise<IngestReport>;
  readonly #target: IngestTarget;
  readonly #options: IngestOptions;
  readonly #controller = new AbortController();
  readonly #indexed: string[] = [];
  readonly #unchanged: string[] = [];
  readonly #failed: { id: string; error: Error }[] = [];
  readonly #seen = new Set<string>();
  readonly #total: number | undefined;
  #embedded = 0;
  #ended = false;
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;

  constructor(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>, target: IngestTarget, options: IngestOptions = {}) {
    this.#target = target;
    this.#options = options;
    this.#total = Array.isArray(documents) ? documents.length : undefined;
    const { signal } = options;
    const abort = (): void => this.#controller.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.done = this.#run(documents).finally(() => {
      this.#ended = true;
      signal?.removeEventListener('abort', abort);
      this.#report();
    });
    this.done.catch(() => undefined); // whoever holds the run may await it later
  }

  get progress(): IngestProgress {
    const indexed = this.#indexed.length;
    const unchanged = this.#unchanged.length;
    const failed = this.#failed.length;
    return {
      status: this.#ended ? 'done' : this.#gate === undefined ? 'running' : 'paused',
      done: indexed + unchanged + failed,
      ...(this.#total === undefined ? {} : { total: this.#total }),
      indexed, unchanged, failed,
      embedded: this.#embedded,
    };
  }

  pause(): void {
    if (this.#gate !== undefined || this.#ended) return;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.#gate = { opened, open };
    this.#report();
  }

  resume(): void {
    this.#gate?.open();
    this.#gate = undefined;
    this.#report();
  }

  cancel(): void {
    this.#controller.abort();
  }

  async #run(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>): Promise<IngestReport> {
    const { batchSize = DEFAULT_BATCH_SIZE, prune = false } = this.#options;
    if (!(Number.isSafeInteger(batchSize) && batchSize > 0)) throw new EmbedderError('INPUT_INVALID', `option \`batchSize\` must be a whole number above 0, not ${String(batchSize)}`);
    // The caller has the object before anything is reported.
    await Promise.resolve();
    let batch: Prepared[] = [];
    let n = 0;
    let position = 0;
    for await (const document of documents) {
      await this.#turn();
      const prepared = await this.#prepare(document, position++);
      if (prepared === undefined) continue;
      batch.push(prepared);
      n += prepared.passages.length;
      if (n < batchSize && batch.length < MAX_BATCH_DOCUMENTS) continue;
      await this.#commit(batch, batchSize);
      batch = [];
      n = 0;
    }
    await this.#turn();
    if (batch.length > 0) await this.#commit(batch, batchSize);
    return { indexed: this.#indexed, unchanged: this.#unchanged, failed: this.#failed, pruned: prune ? await this.#prune() : [] };
  }

  async #prepare(document: SearchDocument, position: number): Promise<Prepared | undefined> {
    try {
      const prepared = await prepare(document, this.#target.recipe, `document ${position}`, this.#controller.signal);
      if (this.#seen.has(prepared.id)) throw new EmbedderError('DUPLICATE_ID', `two documents of this run have the id "${prepared.id}"; the first one counts`, { data: { id: prepared.id } });
      this.#seen.add(prepared.id);
      return prepared;
    } catch (error) {
      if (isAbortError(error)) throw error;
      const id = typeof (document as { id?: unknown } | null)?.id === 'string' ? document.id : `document ${position}`;
      // What failed to load is still among the documents: pruning must not take it.
      this.#seen.add(id);
      this.#fail(id, error as Error);
      return undefined;
    }
  }

  async #commit(batch: readonly Prepared[], batchSize: number): Promise<void> {
    const { changed, renamed, unchanged } = await sortByChange(batch, this.#target);
    for (const { id } of unchanged) {
      this.#unchanged.push(id);
      this.#tell(this.#options.onDocument, { id, status: 'unchanged' });
    }
    const hooks: EmbedHooks = {
      signal: this.#controller.signal,
      batchSize,
      between: () => this.#turn(),
      onEmbedded: (count) => {
        this.#embedded += count;
        this.#report();
      },
    };
    const { records, failed, space, multivectorSpace } = await embed(changed, this.#target.embedder, this.#target.recipe, hooks);
    await this.#turn();
    const all = [...records, ...withoutVectors(renamed)];
    if (all.length > 0) await this.#target.put({ mode: 'update', records: all, space, multivectorSpace });
    for (const { id } of all) {
      this.#indexed.push(id);
      this.#tell(this.#options.onDocument, { id, status: 'indexed' });
    }
    for (const { id, error } of failed) this.#fail(id, error);
    this.#report();
  }

  async #prune(): Promise<string[]> {
    const gone: string[] = [];
    for await (const id of this.#target.ids()) if (!this.#seen.has(id)) gone.push(id);
    await this.#turn();
    if (gone.length > 0) await this.#target.remove(gone);
    return gone;
  }

  #fail(id: string, error: Error): void {
    this.#failed.push({ id, error });
    this.#tell(this.#options.onDocument, { id, status: 'failed', error });
    this.#report();
  }

  /** Waits while paused. Rejects when cancelled. */
  async #turn(): Promise<void> {
    const { signal } = this.#controller;
    while (this.#gate !== undefined && !signal.aborted) {
      const { opened } = this.#gate;
      let stop = (): void => undefined;
      const aborted = new Promise<void>((resolve) => {
        stop = resolve;
        signal.addEventListener('abort', stop, { once: true });
      });
      await Promise.race([opened, aborted]);
      signal.removeEventListener('abort', stop);
    }
    if (signal.aborted) throw abortError(signal);
  }

  #report(): void {
    this.#tell(this.#options.onProgress, this.progress);
  }

  #tell<T extends IngestProgress | IngestOutcome>(listener: ((event: T) => void) | undefined, event: T): void {
    try {
      listener?.(event);
    } catch (error) {
      // The listener's own affair: reported as uncaught, and no part of the run.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
