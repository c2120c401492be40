// The page's side of the protocol: requests with an id, their answers, their cancellation. Whatever ends
// the other side, no promise made here stays pending.

import { abortError, EmbedderError, fromWire, isAbortError, reasonOf } from '../errors.js';
import type { OpenUrl } from '../fetch-body.js';
import type { WeightStore } from '../types.js';
import { readToPage, send, type EncodeRequest, type OpenRequest, type ToPage } from '../worker/protocol.js';
import type { Connection } from './connection.js';
import { FetchServer } from './fetch-server.js';
import { answerFromStore } from './store-server.js';

export type Request =
  | { readonly type: 'open'; readonly request: OpenRequest }
  | { readonly type: 'encode'; readonly request: EncodeRequest }
  | { readonly type: 'memory' }
  | { readonly type: 'close' };

export interface RequestHooks {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: never) => void) | undefined;
  readonly transfer?: Transferable[];
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  readonly onProgress: ((event: never) => void) | undefined;
}

/** How long `close` waits for the other side before it is ended. */
const CLOSE_TIMEOUT_MS = 5_000;

export class Client {
  readonly #connection: Connection;
  readonly #fetches: FetchServer | undefined;
  readonly #store: WeightStore | undefined;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #failure: EmbedderError | undefined;
  #closing: Promise<void> | undefined;
  #silence: { readonly timeoutMs: number; timer: ReturnType<typeof setTimeout> } | undefined;

  /** `open` answers the engine's fetches, where the caller gave its own `fetch`; `store` likewise. */
  constructor(connection: Connection, open: OpenUrl | undefined, store?: WeightStore) {
    this.#connection = connection;
    this.#store = store;
    this.#fetches = open === undefined ? undefined : new FetchServer(open, (message, transfer) => send(connection.endpoint, message, transfer));
    connection.onDeath((error) => this.#fail(error));
    connection.endpoint.addEventListener('message', ({ data }) => {
      const received = readToPage(data);
      if (received === undefined) return;
      if ('message' in received) this.#receive(received.message);
      else this.#fail(new EmbedderError('WORKER_FAILED', `The worker sent ${received.problem}`));
    });
    connection.endpoint.addEventListener('messageerror', () => {
      this.#fail(new EmbedderError('WORKER_FAILED', 'The worker sent a message that could not be copied'));
    });
    connection.endpoint.start?.();
  }

  /** What ended the engine; `undefined` while it answers. */
  get failure(): EmbedderError | undefined {
    return this.#failure;
  }

  /** Sends a request and waits for its answer. Rejects at once where the signal says so, or the engine has failed. */
  request(request: Request, { signal, onProgress, transfer }: RequestHooks = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      if (signal?.aborted) return reject(abortError(signal));
      const id = ++this.#lastId;
      const abandon = (): void => {
        this.#pending.delete(id);
        send(this.#connection.endpoint, { type: 'abort', id });
        reject(abortError(signal));
      };
      const settled = (): void => signal?.removeEventListener('abort', abandon);
      this.#pending.set(id, {
        resolve: (value) => (settled(), resolve(value)),
        reject: (error) => (settled(), reject(error)),
        onProgress,
      });
      signal?.addEventListener('abort', abandon, { once: true });
      try {
        send(this.#connection.endpoint, { ...request, id }, transfer);
      } catch (cause) {
        this.#pending.delete(id);
        settled();
        reject(new EmbedderError('WORKER_FAILED', `The request could not be sent: ${reasonOf(cause)}`, { cause }));
      }
    });
  }

  /** Fails the engine if it stays silent for so long, until its device is ready. */
  watchStart(timeoutMs: number): void {
    this.#silence = { timeoutMs, timer: setTimeout(() => this.#fallSilent(timeoutMs), timeoutMs) };
  }

  /** Ends the engine; requests that still wait reject with `DISPOSED`. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Ends the engine without waiting for it, after an open that failed or was cancelled. */
  abandon(): void {
    if (this.#connection.closeEndsWork) this.#fail(disposed());
    else void this.close();
  }

  async #close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#stopWatching();
    const closed = this.request({ type: 'close' }).catch(() => undefined);
    const closeId = this.#lastId;
    this.#failure = disposed();
    this.#rejectPending(this.#failure, closeId);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)))]);
    clearTimeout(timer);
    this.#fetches?.cancelAll();
    this.#connection.close();
  }

  #receive(message: ToPage): void {
    const { type } = message;
    if (this.#silence !== undefined) {
      const { timeoutMs } = this.#silence;
      this.#stopWatching();
      if (type !== 'device-ready') this.watchStart(timeoutMs);
    }
    if (type === 'hello' || type === 'device-ready') return;
    if (type === 'fatal') return this.#fail(fromWire(message.error));
    if (type === 'fetch' || type === 'fetch-pull' || type === 'fetch-cancel') return this.#fetches?.receive(message);
    if (type === 'store') {
      if (this.#store !== undefined) void answerFromStore(this.#store, message, (answer) => send(this.#connection.endpoint, answer));
      return;
    }
    // An answer to a request that was cancelled meanwhile finds nobody, and that is right.
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if (type === 'progress') return report(pending.onProgress, message.event as never);
    this.#pending.delete(message.id);
    if (type === 'result') pending.resolve(message.value);
    else pending.reject(fromWire(message.error));
  }

  #fallSilent(timeoutMs: number): void {
    this.#fail(new EmbedderError('WORKER_FAILED', `The worker was silent for ${timeoutMs} ms before its device was ready`, { data: { timeoutMs } }));
  }

  #stopWatching(): void {
    clearTimeout(this.#silence?.timer);
    this.#silence = undefined;
  }

  /** The other side is gone, or not to be trusted any more: everything rejects, now and later. */
  #fail(error: EmbedderError | DOMException): void {
    if (this.#failure !== undefined) return;
    this.#failure = isAbortError(error) ? new EmbedderError('INTERNAL', 'The engine was cancelled', { cause: error }) : (error as EmbedderError);
    this.#stopWatching();
    this.#rejectPending(this.#failure);
    this.#fetches?.cancelAll();
    this.#connection.close();
  }

  #rejectPending(error: EmbedderError, except?: number): void {
    for (const [id, pending] of [...this.#pending]) {
      if (id === except) continue;
      this.#pending.delete(id);
      pending.reject(error);
    }
  }
}

function disposed(): EmbedderError {
  return new EmbedderError('DISPOSED', 'The embedder was disposed of');
}

/** Calls the caller's function. What it throws is its own affair: reported as uncaught, and no part of the call. */
function report(listener: ((event: never) => void) | undefined, event: never): void {
  try {
    listener?.(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

