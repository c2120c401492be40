// The query, typed or a picture. Words are looked up at every key, in a millisecond or two; the vector follows a
// moment after the last one, and the latest wins: a newer query aborts the older call.
import type { Filter, Hit, SearchMode } from 'jina-embeddings-web/search';
import { MAX_SHOWN, vectorWeight } from './config';
import { isAbort, isAboutTheInput, sentenceFor } from './errors';
import type { Kind, Library } from './library';

const PAUSE_MS = 140;

export type Shown = 'all' | Kind;
export type Asked = { readonly text: string } | { readonly image: Blob; readonly name: string };

export type Answer =
  | { at: 'none' }
  | { at: 'pending'; hits: readonly Hit[] | undefined }
  | { at: 'ready'; hits: readonly Hit[]; mode: SearchMode; took_ms: number; embed_ms: number; /** The vector is still to come. */ preliminary: boolean }
  | { at: 'failed'; message: string };

/** Fires `change` whenever `answer` changes. */
export class Search extends EventTarget {
  answer: Answer = { at: 'none' };
  asked: Asked = { text: '' };
  mode: SearchMode = 'hybrid';
  shown: Shown = 'all';
  #library: Library;
  #onFailure: (error: unknown) => void;
  /** Name of the loaded model. */
  #model: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #call: AbortController | undefined;

  constructor(library: Library, onFailure: (error: unknown) => void) {
    super();
    this.#library = library;
    this.#onFailure = onFailure;
  }

  get isEmpty(): boolean { return 'text' in this.asked && this.asked.text === ''; }

  /** With another model the query that stands in the field is asked anew. */
  use(model: string | undefined): void {
    this.#model = model;
    this.ask(0);
  }

  set text(text: string) {
    const trimmed = text.trim();
    if ('text' in this.asked && this.asked.text === trimmed) return;
    this.asked = { text: trimmed };
    this.ask(PAUSE_MS);
  }

  set image(picture: { image: Blob; name: string }) {
    this.asked = picture;
    this.ask(0);
  }

  /** Asks again, after a pause: the query, the mode, the filter or the index is another. */
  ask(pause_ms: number, keep = false): void {
    clearTimeout(this.#timer);
    if (!keep) this.#call?.abort();
    if (this.isEmpty) {
      this.#call?.abort();
      return this.#answer({ at: 'none' });
    }
    const hits = this.answer.at === 'ready' || this.answer.at === 'pending' ? this.answer.hits : undefined;
    const call = this.#call = new AbortController();
    if (!keep) this.#answer({ at: 'pending', hits });
    if (!this.#library.index) return;
    const by_word = 'text' in this.asked && this.mode !== 'vector';
    const by_vector = this.#model !== undefined && this.mode !== 'keyword';
    if (by_word && !(keep && by_vector)) void this.#find(call, 'keyword', by_vector);
    if (by_vector) this.#timer = setTimeout(() => void this.#find(call, by_word ? 'hybrid' : 'vector', false), pause_ms);
  }

  async #find(call: AbortController, mode: SearchMode, preliminary: boolean): Promise<void> {
    const { index } = this.#library;
    if (!index || call.signal.aborted) return;
    const asked = 'text' in this.asked ? { text: this.asked.text } : { image: this.asked.image };
    const started = performance.now();
    try {
      const { hits, timings } = await index.search(asked, { mode, k: MAX_SHOWN, weights: { vector: vectorWeight(this.#model ?? ''), keyword: 1 }, filter: filterOf(this.shown), signal: call.signal });
      if (call !== this.#call) return;
      if (preliminary && this.answer.at === 'ready' && !this.answer.preliminary) return; // the vector was faster
      this.#answer({ at: 'ready', hits, mode, took_ms: performance.now() - started, embed_ms: timings.embedMs, preliminary });
    } catch (error) {
      if (call !== this.#call || isAbort(error)) return;
      this.#answer({ at: 'failed', message: sentenceFor(error) });
      if (!isAboutTheInput(error)) this.#onFailure(error);
    }
  }

  #answer(answer: Answer): void {
    this.answer = answer;
    this.dispatchEvent(new Event('change'));
  }
}

function filterOf(shown: Shown): Filter | undefined {
  return shown === 'all' ? undefined : { $kind: shown === 'picture' ? 'image' : 'text' };
}
