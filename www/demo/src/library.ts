// What lies on the table: the originals on the shelf, the index made of them, and the run that indexes what is new.
// One document at a time, so that a query typed meanwhile waits for one at most, a stop takes effect at once, and a
// broken picture fails alone.
import { createIndex, deleteIndex } from 'jina-embeddings-web/search';
import type { Ingest, IngestOutcome, SearchDocument, SearchEmbedder, SearchIndex } from 'jina-embeddings-web/search';
import type { Embedder } from 'jina-embeddings-web';
import { OVERLAP_TOKENS, PASSAGE_TOKENS } from './config';
import { codeOf, isAbort, isAboutTheInput, sentenceFor } from './errors';
import { preview } from './preview';
import type { Entry, Format, Kind, Shelf } from './shelf';

export type { Kind } from './shelf';

export type ItemState = { at: 'waiting' } | { at: 'embedding' } | { at: 'ready' } | { at: 'failed'; message: string; code: string };

export interface Item {
  readonly entry: Entry;
  /** The passage, or the beginning of the text; a picture has none. */
  readonly text: string;
  /** Object URL of what the card shows of a picture. */
  readonly preview: string;
  state: ItemState;
}

export interface Pace { n: number; total_ms: number }
export interface Counts { total: number; ready: number; waiting: number; failed: number }

const INDEX_KEY = 'light-table-index';
const STORED_FIELDS = ['names'];
const SHOWN_CHARACTERS = 700;

/** Fires `change` after every change of items, states or index. */
export class Library extends EventTarget {
  readonly shelf: Shelf;
  readonly pace: Record<Kind, Pace> = { picture: { n: 0, total_ms: 0 }, passage: { n: 0, total_ms: 0 } };
  index: SearchIndex | undefined;
  #items = new Map<string, Item>();
  #embedder: Embedder | undefined;
  #run: Ingest | undefined;
  #stopped = false;
  #opening: Promise<void> = Promise.resolve();
  #changing: Promise<unknown> = Promise.resolve();
  #onFailure: (error: unknown) => void;

  /** `onFailure` hears of errors that are not about one item: a lost device, memory, a dead worker, a full disk. */
  constructor(shelf: Shelf, onFailure: (error: unknown) => void) {
    super();
    this.shelf = shelf;
    this.#onFailure = onFailure;
  }

  get items(): readonly Item[] { return [...this.#items.values()]; }
  get running(): boolean { return this.#run !== undefined; }
  get stopped(): boolean { return this.#stopped; }

  item(id: string): Item | undefined { return this.#items.get(id); }

  /** Reads the shelf, and opens the index of the last visit: its words can be searched before the model is there. */
  async restore(): Promise<void> {
    for (const entry of await this.shelf.entries()) {
      const body = await this.shelf.body(entry.id);
      if (body) await this.#lay(entry, body);
    }
    const name = remembered();
    if (name) await this.#open(name).catch(() => undefined);
    this.#changed();
  }

  /** With another model the index is another one; what it lacks is embedded. */
  use(embedder: Embedder | undefined): void {
    this.#run?.cancel();
    this.#embedder = embedder;
    for (const kind of ['picture', 'passage'] as const) this.pace[kind] = { n: 0, total_ms: 0 };
    if (!embedder) return;
    this.#opening = this.#opening.then(() => this.#open(indexName(embedder.info.space))).then(() => this.#start(), (error: unknown) => this.#onFailure(error));
  }

  stop(): void {
    this.#stopped = true;
    this.#run?.cancel();
    this.#changed();
  }

  resume(): void {
    this.#stopped = false;
    this.#changed();
    this.#start();
  }

  async addPicture(file: Blob, name: string, more: Partial<Entry> = {}): Promise<void> {
    await this.#add({ id: await idOf(file), kind: 'picture', name, titled: true, ...more }, file);
  }

  async addText(text: string, more: Partial<Entry> = {}): Promise<void> {
    const body = new Blob([text], { type: 'text/plain' });
    await this.#add({ id: await idOf(body), kind: 'passage', name: firstWords(text), titled: false, format: 'text', ...more }, body);
  }

  remove(id: string): Promise<void> {
    return this.#inTurn(async () => {
      const item = this.#items.get(id);
      this.#items.delete(id);
      if (item?.preview) URL.revokeObjectURL(item.preview);
      this.#changed();
      await this.shelf.remove(id);
      await this.index?.delete(id);
    });
  }

  clear(): Promise<void> {
    return this.#inTurn(() => this.#clear());
  }

  /** Deletes all that is kept of the table on this device. */
  forget(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#clear();
      await this.shelf.forget();
      const name = this.index?.name;
      await this.index?.close();
      this.index = undefined;
      if (name) await deleteIndex({ name }).catch(() => undefined);
      localStorage.removeItem(INDEX_KEY);
    });
  }

  counts(): Counts {
    const counts = { total: this.#items.size, ready: 0, waiting: 0, failed: 0 };
    for (const { state } of this.#items.values()) {
      if (state.at === 'ready') counts.ready++;
      else if (state.at === 'failed') counts.failed++;
      else counts.waiting++;
    }
    return counts;
  }

  #add(entry: Omit<Entry, 'order'>, body: Blob): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#items.has(entry.id)) return;
      const ordered = { ...entry, order: Date.now() + this.#items.size / 1000 };
      await this.shelf.put(ordered, body);
      await this.#lay(ordered, body);
      this.#changed();
      this.#start();
    });
  }

  async #clear(): Promise<void> {
    for (const { preview: address } of this.#items.values()) if (address) URL.revokeObjectURL(address);
    this.#items.clear();
    this.#changed();
    const run = this.#run;
    run?.cancel();
    await run?.done.catch(() => undefined); // what it was about to commit must not come after the index is cleared
    await this.shelf.clear();
    await this.index?.clear();
  }

  /**
   * One change after the other: a file that is put down while the table is still being cleared may be one that lay
   * there, and would be deleted with it.
   */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #lay(entry: Entry, body: Blob): Promise<void> {
    const shown = entry.kind === 'picture' ? { preview: await preview(body), text: '' } : { preview: '', text: (await body.text()).slice(0, SHOWN_CHARACTERS) };
    this.#items.set(entry.id, { entry, ...shown, state: { at: 'waiting' } });
  }

  async #open(name: string): Promise<void> {
    if (this.index?.name !== name) {
      const before = this.index;
      this.index = await openIndex(name, { encode: (...call: Parameters<Embedder['encode']>) => this.#encode(...call) } as SearchEmbedder);
      await before?.close();
      try {
        localStorage.setItem(INDEX_KEY, name);
      } catch { /* then the next visit waits for the model */ }
    }
    const indexed = new Set<string>();
    for (let offset = 0, page = 500; ; offset += page) {
      const found = await this.index.list({ offset, limit: page });
      for (const { id } of found) indexed.add(id);
      if (found.length < page) break;
    }
    // An id stands for the content, so that what is there need not be looked at again.
    for (const item of this.#items.values()) item.state = { at: indexed.has(item.entry.id) ? 'ready' : 'waiting' };
    const gone = [...indexed].filter((id) => !this.#items.has(id));
    if (gone.length > 0) await this.index.delete(gone);
    this.#changed();
  }

  #encode(...call: Parameters<Embedder['encode']>): ReturnType<Embedder['encode']> {
    if (!this.#embedder) return Promise.reject(new DOMException('The model is not loaded', 'AbortError'));
    return this.#embedder.encode(...call);
  }

  #start(): void {
    if (!this.#embedder || !this.index || this.#stopped || this.#run || this.#next() === undefined) return;
    const run = this.#run = this.index.ingest(this.#waiting(), { batchSize: 1, onDocument: (outcome) => this.#through(outcome) });
    this.#changed();
    run.done.catch((error: unknown) => {
      if (isAbort(error)) return;
      this.#embedder = undefined;
      this.#onFailure(error);
    }).finally(() => {
      if (this.#run === run) this.#run = undefined;
      for (const item of this.#items.values()) if (item.state.at === 'embedding') item.state = { at: 'waiting' };
      this.#changed();
      this.#start(); // something may have been added, or the model changed, while the last item ended
    });
  }

  #since = 0;

  async *#waiting(): AsyncGenerator<SearchDocument> {
    for (let item = this.#next(); item; item = this.#next()) {
      const body = await this.shelf.body(item.entry.id);
      if (!body) {
        // Taken away this instant; or the browser has cleared what it kept.
        item.state = { at: 'failed', message: 'Its original is no longer kept on this device. Please add it again.', code: 'IO' };
        this.#changed();
        continue;
      }
      item.state = { at: 'embedding' };
      this.#changed();
      this.#since = performance.now();
      yield await documentOf(item.entry, body);
    }
  }

  #through(outcome: IngestOutcome): void {
    const item = this.#items.get(outcome.id);
    if (!item) return void this.index?.delete(outcome.id); // removed while it was embedded
    if (outcome.status === 'failed') {
      const { error } = outcome;
      item.state = { at: 'failed', message: isAboutTheInput(error) ? sentenceFor(error) : error.message, code: codeOf(error) };
    } else {
      item.state = { at: 'ready' };
      if (outcome.status === 'indexed') {
        const pace = this.pace[item.entry.kind];
        pace.n++;
        pace.total_ms += performance.now() - this.#since;
      }
    }
    this.#changed();
  }

  #next(): Item | undefined {
    for (const item of this.#items.values()) if (item.state.at === 'waiting') return item;
    return undefined;
  }

  #changed(): void { this.dispatchEvent(new Event('change')); }
}

async function openIndex(name: string, embedder: SearchEmbedder): Promise<SearchIndex> {
  const options = { name, embedder, keywordFields: STORED_FIELDS, passages: { maxTokens: PASSAGE_TOKENS, overlapTokens: OVERLAP_TOKENS } };
  try {
    return await createIndex(options);
  } catch (error) {
    // The originals are on the shelf: what is damaged is made anew. Where nothing can be kept, it lasts for this visit.
    if (codeOf(error) === 'INDEX_INVALID' || codeOf(error) === 'INDEX_UNSUPPORTED') {
      await deleteIndex({ name });
      return createIndex(options);
    }
    if (codeOf(error) === 'IO') return createIndex({ ...options, storage: 'memory' });
    throw error;
  }
}

async function documentOf(entry: Entry, body: Blob): Promise<SearchDocument> {
  const { id, name, titled, names, language, kind } = entry;
  const common = { id, ...(titled ? { title: name } : {}), fields: { kind, ...(names ? { names: [...names] } : {}), ...(language ? { language } : {}) } };
  if (kind === 'picture') return { ...common, image: body };
  const text = await body.text();
  const forms: Record<Format, SearchDocument> = { text: { ...common, text }, markdown: { ...common, markdown: text }, html: { ...common, html: text } };
  return forms[entry.format ?? 'text'];
}

function remembered(): string | null {
  try {
    return localStorage.getItem(INDEX_KEY);
  } catch {
    return null;
  }
}

/** One index for each space of vectors, named by a hash of it. */
function indexName(space: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(space)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return `light-table-${hash.toString(16)}`;
}

/** The same content has the same id, so that dropping a folder again adds nothing twice. */
async function idOf(body: Blob): Promise<string> {
  if (!globalThis.crypto?.subtle) return `item-${Date.now()}-${Math.random().toString(36).slice(2)}`;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await body.arrayBuffer()));
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Splits pasted text: at blank lines where there are any, else at every line. */
export function splitPassages(pasted: string): string[] {
  const text = pasted.replace(/\r\n?/g, '\n');
  const parts = /\n[ \t]*\n/.test(text.trim()) ? text.split(/\n[ \t]*\n+/) : text.split('\n');
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

function firstWords(text: string): string {
  const line = text.trim().split('\n', 1)[0] ?? '';
  return line.length <= 32 ? line : `${line.slice(0, 31).trimEnd()}…`;
}
