// Embeds what waits on the table, one item at a time: so a query typed meanwhile waits for one item at most, a stop
// takes effect at once, and a broken picture fails alone.
import type { Embedder } from 'jina-embeddings-web';
import { codeOf, isAbort, isAboutTheInput, sentenceFor } from './errors';
import type { Item, Kind, Table } from './table';

export interface Pace { n: number; total_ms: number }

/** Fires `change` when it starts, ends, stops or has embedded an item. */
export class Indexer extends EventTarget {
  readonly pace: Record<Kind, Pace> = { picture: { n: 0, total_ms: 0 }, passage: { n: 0, total_ms: 0 } };
  #table: Table;
  #onFailure: (error: unknown) => void;
  #embedder: Embedder | undefined;
  #running: AbortController | undefined;
  #stopped = false;

  /** `onFailure` hears of errors that are not about one item: a lost device, memory, a dead worker. */
  constructor(table: Table, onFailure: (error: unknown) => void) {
    super();
    this.#table = table;
    this.#onFailure = onFailure;
    table.addEventListener('change', () => void this.#run());
  }

  get running(): boolean { return this.#running !== undefined; }
  get stopped(): boolean { return this.#stopped; }

  use(embedder: Embedder | undefined): void {
    this.#running?.abort();
    this.#embedder = embedder;
    for (const kind of ['picture', 'passage'] as const) this.pace[kind] = { n: 0, total_ms: 0 };
    void this.#run();
  }

  /** Ends the item at work, which goes back to waiting. */
  stop(): void {
    this.#stopped = true;
    this.#running?.abort();
    this.#changed();
  }

  resume(): void {
    this.#stopped = false;
    this.#changed();
    void this.#run();
  }

  async #run(): Promise<void> {
    const embedder = this.#embedder;
    if (!embedder || this.#stopped || this.#running) return;
    let item = this.#next();
    if (!item) return;
    const controller = this.#running = new AbortController();
    this.#changed();
    for (; item && !controller.signal.aborted; item = this.#next()) {
      await this.#embed(item, embedder, controller);
    }
    this.#running = undefined;
    this.#changed();
    void this.#run(); // something may have been added, or the embedder changed, while the last item ended
  }

  async #embed(item: Item, embedder: Embedder, controller: AbortController): Promise<void> {
    this.#table.setState(item.id, { at: 'embedding' });
    const started = performance.now();
    try {
      const input = item.file ? { image: item.file } : { text: item.text ?? '' };
      const { embedding } = await embedder.encode(input, { task: 'retrieval.passage', signal: controller.signal });
      const pace = this.pace[item.kind];
      pace.n++;
      pace.total_ms += performance.now() - started;
      this.#table.setState(item.id, { at: 'ready', vector: embedding });
    } catch (error) {
      if (isAbort(error) || controller.signal.aborted) {
        this.#table.setState(item.id, { at: 'waiting' });
      } else if (isAboutTheInput(error)) {
        this.#table.setState(item.id, { at: 'failed', message: sentenceFor(error), code: codeOf(error) });
      } else {
        this.#embedder = undefined;
        controller.abort();
        this.#table.setState(item.id, { at: 'waiting' });
        this.#onFailure(error);
      }
    }
  }

  #next(): Item | undefined {
    return this.#table.items.find((item) => item.state.at === 'waiting');
  }

  #changed(): void { this.dispatchEvent(new Event('change')); }
}
