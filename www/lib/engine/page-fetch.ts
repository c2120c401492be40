// Fetching through the page, for callers who gave their own `fetch`: a function cannot cross a worker, so
// the worker asks for bytes and the page answers, one chunk for each request.

import { abortError, fromWire } from '../errors.js';
import type { OpenBody, OpenUrl } from '../fetch-body.js';
import type { FetchHead, ToEngine, ToPage } from '../worker/protocol.js';

type FetchAnswer = Extract<ToEngine, { type: `fetch-${string}` }>;

interface Exchange {
  readonly resolve: (answer: FetchAnswer) => void;
  readonly reject: (error: unknown) => void;
}

const NO_ANSWER: FetchHead = { status: 0, statusText: 'no answer', contentLength: null, contentRange: null, etag: null, lastModified: null };

/** The engine's end of all fetches through the page. */
export class PageFetch {
  readonly #post: (message: ToPage) => void;
  readonly #waiting = new Map<number, Exchange>();
  #lastId = 0;

  constructor(post: (message: ToPage) => void) {
    this.#post = post;
  }

  /** Takes an answer of the page; one that nobody waits for any more is dropped. */
  receive(answer: FetchAnswer): void {
    const exchange = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.type === 'fetch-failure') exchange?.reject(fromWire(answer.error));
    else exchange?.resolve(answer);
  }

  readonly open: OpenUrl = async (url, method, signal, options): Promise<OpenBody> => {
    const id = ++this.#lastId;
    const first = await this.#ask(id, signal, { type: 'fetch', id, url, method, ...(options === undefined ? {} : { options }) });
    const head: FetchHead = first.type === 'fetch-head' ? first.head : NO_ANSWER;
    let ended = method === 'HEAD';
    return {
      head,
      read: async () => {
        if (ended) return undefined;
        const next = await this.#ask(id, signal, { type: 'fetch-pull', id });
        if (next.type === 'fetch-chunk') return next.bytes;
        ended = true;
        return undefined;
      },
      cancel: () => {
        if (!ended) this.#post({ type: 'fetch-cancel', id });
        ended = true;
      },
    };
  };

  #ask(id: number, signal: AbortSignal, message: ToPage): Promise<FetchAnswer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const abandon = (): void => {
        this.#waiting.delete(id);
        this.#post({ type: 'fetch-cancel', id });
        reject(abortError(signal));
      };
      const settled = (): void => signal.removeEventListener('abort', abandon);
      signal.addEventListener('abort', abandon, { once: true });
      this.#waiting.set(id, {
        resolve: (answer) => (settled(), resolve(answer)),
        reject: (error) => (settled(), reject(error)),
      });
      this.#post(message);
    });
  }
}
