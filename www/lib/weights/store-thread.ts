// The origin private file system with a thread of its own for what changes it. A write holds its thread until
// the system has taken the bytes, which can be longer than the network took for them; meanwhile the loading
// thread verifies the next ones and feeds the device. Pieces travel with their buffer, and it comes back:
// nothing is copied. Reading takes less than handing a piece from one thread's cache to the other's, so that
// the loading thread does it.
//
//   loading thread                 store-worker.ts
//         ◄──────────────── hello
//   id method name … ────►
//         ◄──────────────── done id bytes  (or: failed id error)

import { EmbedderError } from '../errors.js';
import { hasSyncHandles } from '../opfs.js';
import type { WeightStore } from '../types.js';
import { OpfsWeights } from './opfs.js';
import { PARTS, UNFINISHED, type PartedStore } from './parted-store.js';

export type ToStoreWorker = { readonly id: number } & StoreTask;

/** A method of `PartedStore` with what it is given. */
export type StoreTask =
  | { readonly method: 'write'; readonly name: string; readonly at: number; readonly bytes: Uint8Array }
  | { readonly method: 'finish'; readonly draft: string; readonly name: string; readonly nBytes: number }
  | { readonly method: 'delete'; readonly name: string }
  | { readonly method: 'release' };

export type FromStoreWorker =
  | { readonly type: 'hello' }
  | { readonly type: 'done'; readonly id: number; readonly bytes: Uint8Array | undefined }
  | { readonly type: 'failed'; readonly id: number; readonly error: unknown };

interface Waiting {
  readonly resolve: (bytes: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class StoreThread implements PartedStore {
  readonly [PARTS] = { syncs: true };
  readonly #store: OpfsWeights;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  /** Until the script runs, and where it cannot be loaded, the calling thread does the work: none waits for it. */
  #isReady = false;
  /** What this thread holds open is let go before the worker is asked for anything. */
  #handedOver: Promise<void> = Promise.resolve();
  #tellReady: (isReady: boolean) => void = () => undefined;
  #ended: EmbedderError | undefined;
  /** Until the worker has changed a file that can be read. */
  #changed: Promise<unknown> = Promise.resolve();
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

  get(name: string): Promise<Uint8Array | undefined> {
    return this.#store.get(name);
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.#store.put(name, bytes);
  }

  async read(name: string, at: number, room: Uint8Array, next: readonly string[] = []): Promise<Uint8Array | undefined> {
    await this.#changed;
    return this.#store.read(name, at, room, next);
  }

  async write(name: string, at: number, bytes: Uint8Array): Promise<Uint8Array> {
    if (!this.#isReady) return this.#store.write(name, at, bytes);
    return (await (name.endsWith(UNFINISHED) ? this.#ask({ method: 'write', name, at, bytes }) : this.#change({ method: 'write', name, at, bytes }))) as Uint8Array;
  }

  async finish(draft: string, name: string, nBytes: number): Promise<void> {
    await (this.#isReady ? this.#ask({ method: 'finish', draft, name, nBytes }) : this.#store.finish(draft, name, nBytes));
  }

  async delete(name: string): Promise<void> {
    await (this.#isReady ? this.#change({ method: 'delete', name }) : this.#store.delete(name));
  }

  async release(): Promise<void> {
    await this.#store.release();
    if (this.#isReady) await this.#ask({ method: 'release' });
  }

  /** Ends the worker; what it has not answered fails. */
  close(reason = 'it was ended'): void {
    this.#isReady = false;
    this.#tellReady(false);
    this.#worker.terminate();
    this.#ended = new EmbedderError('IO', `The worker that keeps the weights failed: ${reason}`);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }

  /** Changes a file that this thread may have open, and reads nothing before that is done. */
  #change(task: StoreTask & { readonly name: string }): Promise<Uint8Array | undefined> {
    const changing = this.#store.stopReading(task.name).then(() => this.#ask(task));
    this.#changed = changing.catch(() => undefined);
    return changing;
  }

  #ask(task: StoreTask): Promise<Uint8Array | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting.set(id, { resolve, reject });
      void this.#handedOver.then(() => {
        if (!this.#waiting.has(id)) return; // it was ended meanwhile
        this.#worker.postMessage({ id, ...task } satisfies ToStoreWorker, 'bytes' in task ? [task.bytes.buffer as ArrayBuffer] : []);
      });
    });
  }

  #receive(message: FromStoreWorker): void {
    if (message.type === 'hello') {
      this.#isReady = true;
      this.#handedOver = this.#store.release().catch(() => undefined);
      this.#tellReady(true);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === 'done') waiting?.resolve(message.bytes);
    else waiting?.reject(message.error);
  }
}
