// The typed query: embedded a moment after the last key, and the latest wins: a newer query aborts the older call.
import type { Embedder } from 'jina-embeddings-web';
import { isAbort, isAboutTheInput, sentenceFor } from './errors';

const PAUSE_MS = 140;

export type Answer =
  | { at: 'none' }
  | { at: 'pending'; text: string; previous: Float32Array | undefined }
  | { at: 'ready'; text: string; vector: Float32Array; took_ms: number }
  | { at: 'failed'; text: string; message: string };

/** Fires `change` whenever `answer` changes. */
export class Query extends EventTarget {
  answer: Answer = { at: 'none' };
  #onFailure: (error: unknown) => void;
  #embedder: Embedder | undefined;
  #text = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #call: AbortController | undefined;

  constructor(onFailure: (error: unknown) => void) {
    super();
    this.#onFailure = onFailure;
  }

  /** With another embedder the query that stands in the field is embedded anew. */
  use(embedder: Embedder | undefined): void {
    this.#embedder = embedder;
    this.#ask(0);
  }

  set text(text: string) {
    const trimmed = text.trim();
    if (trimmed === this.#text) return;
    this.#text = trimmed;
    this.#ask(PAUSE_MS);
  }

  #ask(pause_ms: number): void {
    clearTimeout(this.#timer);
    this.#call?.abort();
    this.#call = undefined;
    const text = this.#text;
    if (text === '') return this.#answer({ at: 'none' });
    this.#answer({ at: 'pending', text, previous: this.vector });
    if (this.#embedder) this.#timer = setTimeout(() => void this.#embed(text), pause_ms);
  }

  /** The vector to rank by: while a query is pending, the one before it, so that the table does not jump. */
  get vector(): Float32Array | undefined {
    if (this.answer.at === 'ready') return this.answer.vector;
    return this.answer.at === 'pending' ? this.answer.previous : undefined;
  }

  async #embed(text: string): Promise<void> {
    const embedder = this.#embedder;
    if (!embedder) return;
    const call = this.#call = new AbortController();
    const started = performance.now();
    try {
      const { embedding } = await embedder.encode({ text }, { task: 'retrieval.query', signal: call.signal });
      if (call !== this.#call) return;
      this.#answer({ at: 'ready', text, vector: embedding, took_ms: performance.now() - started });
    } catch (error) {
      if (call !== this.#call || isAbort(error)) return;
      this.#answer({ at: 'failed', text, message: sentenceFor(error) });
      if (!isAboutTheInput(error)) this.#onFailure(error);
    }
  }

  #answer(answer: Answer): void {
    this.answer = answer;
    this.dispatchEvent(new Event('change'));
  }
}
