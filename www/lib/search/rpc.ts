// Calls across a worker: `{ id, method, args }` there, `{ id, value }` or `{ id, error }` back, and events
// that nobody asked for. Errors keep their code, as `errors.ts` writes them.

import { abortError, EmbedderError, fromWire, isErrorCode, isRecord, reasonOf, toWire, type WireError } from '../errors.js';
import type { EngineCalls } from './engine/requests.js';

/** Both sides must be of one build: the messages may change with any version. */
const PROTOCOL = 'jina-embeddings-web/search/1';

/** The end of a channel. A `MessagePort` delivers nothing before it is started; a worker has no such method. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message' | 'messageerror', listener: (event: MessageEvent) => void): void;
  start?(): void;
}

export type EngineEvent = 'change';

type Calls = { readonly [K in keyof EngineCalls]: EngineCalls[K] };

/** Answers calls at `port` with the methods of what `make` returns. */
export function serveCalls(port: Port, make: (tell: (event: EngineEvent) => void) => Calls): void {
  const send = (message: Record<string, unknown>): void => port.postMessage({ protocol: PROTOCOL, ...message }, []);
  const engine = make((event) => send({ event }));
  port.addEventListener('message', ({ data }) => {
    if (!isRecord(data) || data['protocol'] !== PROTOCOL || typeof data['method'] !== 'string') return;
    const { id, method, args } = data;
    const run = async (): Promise<unknown> => {
      const call = (engine as unknown as Record<string, unknown>)[method as string];
      if (typeof call !== 'function') throw new EmbedderError('INTERNAL', `The search engine has no call "${String(method)}"`);
      return call.apply(engine, args as unknown[]) as unknown;
    };
    run().then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: toWire(error) }),
    );
  });
  port.start?.();
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The page's end. Whatever ends the other side, no promise made here stays pending. */
export class Caller {
  readonly #port: Port;
  readonly #onEvent: (event: EngineEvent) => void;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #failure: EmbedderError | undefined;

  constructor(port: Port, onEvent: (event: EngineEvent) => void) {
    this.#port = port;
    this.#onEvent = onEvent;
    port.addEventListener('message', ({ data }) => this.#receive(data));
    port.addEventListener('messageerror', () => this.fail(new EmbedderError('WORKER_FAILED', 'The search worker sent a message that could not be copied')));
    port.start?.();
  }

  call<K extends keyof EngineCalls>(method: K, args: Parameters<EngineCalls[K]>, signal?: AbortSignal): ReturnType<EngineCalls[K]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      if (signal?.aborted) return reject(abortError(signal));
      const id = ++this.#lastId;
      // A search cannot be stopped within, and ends soon; its answer then finds nobody.
      const abandon = (): void => {
        this.#pending.delete(id);
        reject(abortError(signal));
      };
      const settled = (): void => signal?.removeEventListener('abort', abandon);
      this.#pending.set(id, { resolve: (value) => (settled(), resolve(value as never)), reject: (error) => (settled(), reject(error)) });
      signal?.addEventListener('abort', abandon, { once: true });
      try {
        this.#port.postMessage({ protocol: PROTOCOL, id, method, args }, []);
      } catch (cause) {
        this.#pending.delete(id);
        settled();
        reject(new EmbedderError('INPUT_INVALID', `The call could not be sent: ${reasonOf(cause)}`, { cause }));
      }
    }) as ReturnType<EngineCalls[K]>;
  }

  /** Everything rejects, now and later. */
  fail(error: EmbedderError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #receive(data: unknown): void {
    if (!isRecord(data) || typeof data['protocol'] !== 'string' || !data['protocol'].startsWith('jina-embeddings-web/search/')) return;
    if (data['protocol'] !== PROTOCOL) {
      return this.fail(new EmbedderError('WORKER_FAILED', `The worker speaks ${data['protocol']}, this side ${PROTOCOL}: the page's script and the worker's come from different versions`));
    }
    if (data['event'] === 'change') return this.#onEvent('change');
    const pending = this.#pending.get(data['id'] as number);
    if (pending === undefined) return;
    this.#pending.delete(data['id'] as number);
    const error = data['error'];
    if (error === undefined) pending.resolve(data['value']);
    else if (isRecord(error) && isErrorCode(error['code'])) pending.reject(fromWire(error as unknown as WireError));
    else pending.reject(new EmbedderError('WORKER_FAILED', 'The search worker sent a malformed error'));
  }
}
