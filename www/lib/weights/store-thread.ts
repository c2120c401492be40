// The origin private file system in a thread of its own. A write holds its thread until the system has taken
// the bytes, which can be longer than the network took for them; meanwhile the loading thread verifies the
// next ones and feeds the device. Pieces travel with their buffer, and it comes back: nothing is copied.
//
//   loading thread                 store-worker.ts
//         ◄──────────────── hello
//   put id name bytes ───►                 (or: get id name room)
//         ◄──────────────── done id bytes  (or: failed id error)

import { EmbedderError } from '../errors.js';
import { hasSyncHandles } from '../opfs.js';
import type { WeightStore } from '../types.js';
import { OpfsWeights } from './opfs.js';

/** A store that bytes are lent to, so that they need not be copied. `get` may take its room away, and returns bytes at another buffer. */
export interface LendingStore extends WeightStore {
  /** As `put`. Returns the same bytes at another buffer; `bytes` itself is empty then, or when this fails. */
  lend(name: string, bytes: Uint8Array): Promise<Uint8Array>;
}

export type ToStoreWorker = { readonly id: number; readonly method: 'put' | 'get'; readonly name: string; readonly bytes: Uint8Array };

export type FromStoreWorker =
  | { readonly type: 'hello' }
  | { readonly type: 'done'; readonly id: number; readonly bytes: Uint8Array | undefined }
  | { readonly type: 'failed'; readonly id: number; readonly error: unknown };

interface Waiting {
  readonly resolve: (bytes: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export function isLending(store: WeightStore): store is LendingStore {
  return 'lend' in store;
}

export class StoreThread implements LendingStore {
  readonly #store: OpfsWeights;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  /** Until the script runs, and where it cannot be loaded, the calling thread does the work: none waits for it. */
  #isReady = false;
  #tellReady: (isReady: boolean) => void = () => undefined;
  /** Whether the worker does the work, once that is known. */
  readonly ready = new Promise<boolean>((resolve) => (this.#tellReady = resolve));

  private constructor(store: OpfsWeights, worker: Worker) {
    this.#store = store;
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<FromStoreWorker>) => this.#receive(data));
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.close(event.message);
    });
  }

  /** `undefined` where `store` is of another kind, or this thread can have no such worker. Has to be closed. */
  static over(store: WeightStore | undefined): StoreThread | undefined {
    if (!(store instanceof OpfsWeights) || !hasSyncHandles() || typeof Worker === 'undefined') return undefined;
    try {
      const worker = new Worker(new URL('./store-worker.js', import.meta.url), { type: 'module', name: 'jina-embeddings-web store' });
      return new StoreThread(store, worker);
    } catch {
      return undefined; // a policy of the page forbids it
    }
  }

  names(): Promise<string[]> {
    return this.#store.names();
  }

  delete(name: string): Promise<void> {
    return this.#store.delete(name);
  }

  async get(name: string, room?: Uint8Array): Promise<Uint8Array | undefined> {
    return room === undefined || !this.#isReady ? this.#store.get(name, room) : this.#ask('get', name, room);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#store.put(name, bytes);
  }

  async lend(name: string, bytes: Uint8Array): Promise<Uint8Array> {
    if (this.#isReady) return (await this.#ask('put', name, bytes)) as Uint8Array;
    await this.#store.put(name, bytes);
    return bytes;
  }

  /** Ends the worker; what it has not answered fails. */
  close(reason = 'it was ended'): void {
    this.#isReady = false;
    this.#tellReady(false);
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(new EmbedderError('IO', `The worker that keeps the weights failed: ${reason}`));
    this.#waiting.clear();
  }

  #ask(method: ToStoreWorker['method'], name: string, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, name, bytes } satisfies ToStoreWorker, [bytes.buffer as ArrayBuffer]);
    });
  }

  #receive(message: FromStoreWorker): void {
    if (message.type === 'hello') {
      this.#isReady = true;
      this.#tellReady(true);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === 'done') waiting?.resolve(message.bytes);
    else waiting?.reject(message.error);
  }
}
