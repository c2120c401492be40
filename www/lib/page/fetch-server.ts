// Answers the engine's fetches with the caller's `fetch`. The page reads on only when the engine asks, and
// hands over at most one slice at a time, so a slow device slows the download down.

import { toWire } from '../errors.js';
import type { OpenBody, OpenUrl } from '../fetch-body.js';
import type { ToEngine, ToPage } from '../worker/protocol.js';

type FetchRequest = Extract<ToPage, { type: 'fetch' | 'fetch-pull' | 'fetch-cancel' }>;

/** The most that is posted at once. The caller's own buffers are copied from, never transferred. */
const SLICE_BYTES = 1 << 20;

interface OpenFetch {
  readonly controller: AbortController;
  body: OpenBody | undefined;
  /** What is left of the last chunk. */
  rest: Uint8Array;
}

export class FetchServer {
  readonly #open: OpenUrl;
  readonly #post: (message: ToEngine, transfer: Transferable[]) => void;
  readonly #fetches = new Map<number, OpenFetch>();

  constructor(open: OpenUrl, post: (message: ToEngine, transfer: Transferable[]) => void) {
    this.#open = open;
    this.#post = post;
  }

  receive(message: FetchRequest): void {
    if (message.type === 'fetch') void this.#answer(message.id, () => this.#start(message));
    else if (message.type === 'fetch-pull') void this.#answer(message.id, () => this.#pull(message.id));
    else this.#end(message.id);
  }

  cancelAll(): void {
    for (const id of [...this.#fetches.keys()]) this.#end(id);
  }

  async #answer(id: number, answer: () => Promise<ToEngine | undefined>): Promise<void> {
    let message: ToEngine | undefined;
    try {
      message = await answer();
    } catch (error) {
      if (!this.#fetches.has(id)) return;
      this.#end(id);
      message = { type: 'fetch-failure', id, error: toWire(error, 'DOWNLOAD_FAILED') };
    }
    if (message !== undefined) this.#post(message, message.type === 'fetch-chunk' ? [message.bytes.buffer as ArrayBuffer] : []);
  }

  async #start({ id, url, method, options }: Extract<FetchRequest, { type: 'fetch' }>): Promise<ToEngine | undefined> {
    const fetch: OpenFetch = { controller: new AbortController(), body: undefined, rest: new Uint8Array() };
    this.#fetches.set(id, fetch);
    fetch.body = await this.#open(url, method, fetch.controller.signal, options);
    if (!this.#fetches.has(id)) {
      fetch.body.cancel();
      return undefined;
    }
    if (method === 'HEAD') this.#end(id);
    return { type: 'fetch-head', id, head: fetch.body.head };
  }

  async #pull(id: number): Promise<ToEngine | undefined> {
    const fetch = this.#fetches.get(id);
    if (fetch?.body === undefined) return undefined;
    while (fetch.rest.length === 0) {
      const chunk = await fetch.body.read();
      if (chunk === undefined) {
        this.#fetches.delete(id);
        return { type: 'fetch-end', id };
      }
      fetch.rest = chunk;
    }
    const bytes = Uint8Array.from(fetch.rest.subarray(0, SLICE_BYTES));
    fetch.rest = fetch.rest.subarray(bytes.length);
    return { type: 'fetch-chunk', id, bytes };
  }

  #end(id: number): void {
    const fetch = this.#fetches.get(id);
    this.#fetches.delete(id);
    fetch?.body?.cancel();
    fetch?.controller.abort();
  }
}
