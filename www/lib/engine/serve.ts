// The engine's side of the protocol: one model, one queue. Encodes run one after the other, in the order
// they arrived; a failure of one is its own. An abort takes a waiting call out of the queue, and tells the
// running one to stop at its next layer.

import { abortError, EmbedderError, toWire } from '../errors.js';
import { openWith, type OpenUrl } from '../fetch-body.js';
import { faceFailure, type WasmFace, type WasmSource } from '../wasm-face.js';
import { readToEngine, send, type EncodeRequest, type Endpoint, type OpenRequest, type ToEngine, type ToPage } from '../worker/protocol.js';
import { Guard } from './guard.js';
import type { LoadFace } from './load-face.js';
import { Model } from './model.js';
import { PageFetch } from './page-fetch.js';
import { PageStore } from './page-store.js';
import type { Uncaught } from './uncaught.js';

/**
 * The panics that stopped a wasm instance. A thread has one instance, and after a trap its memory cannot
 * be trusted: no second model may be made on it.
 */
const trapped = new WeakMap<WasmFace, EmbedderError>();

interface EncodeJob {
  readonly id: number;
  readonly request: EncodeRequest;
  readonly controller: AbortController;
  readonly arrived: number;
}

/** Before a broken download is gone on with, the first time. */
const RETRY_PAUSE_MS = 250;

/** Answers what arrives at `endpoint` until it is told to close. */
export function serve(endpoint: Endpoint, loadFace: LoadFace, uncaught: Uncaught, retryPauseMs = RETRY_PAUSE_MS): void {
  new Engine(endpoint, loadFace, uncaught, retryPauseMs);
}

class Engine {
  readonly #endpoint: Endpoint;
  readonly #loadFace: LoadFace;
  readonly #pageFetch: PageFetch;
  readonly #pageStore: PageStore;
  readonly #retryPauseMs: number;
  readonly #guard: Guard;
  readonly #stopListening: () => void;
  readonly #queue: EncodeJob[] = [];
  readonly #controllers = new Map<number, AbortController>();
  #open: OpenUrl = openWith((url, init) => fetch(url, init));
  #opening: Promise<void> | undefined;
  #face: WasmFace | undefined;
  #model: Model | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(endpoint: Endpoint, loadFace: LoadFace, uncaught: Uncaught, retryPauseMs: number) {
    this.#endpoint = endpoint;
    this.#retryPauseMs = retryPauseMs;
    this.#loadFace = loadFace;
    this.#pageFetch = new PageFetch((message) => this.#post(message));
    this.#pageStore = new PageStore((message) => this.#post(message));
    this.#guard = new Guard((error) => this.#fail(error));
    this.#stopListening = uncaught.listen((thrown) => this.#guard.fail(faceFailure(thrown).error));
    endpoint.addEventListener('message', ({ data }) => {
      const received = readToEngine(data);
      if (received === undefined) return;
      if ('message' in received) this.#receive(received.message);
      else this.#guard.fail(new EmbedderError('WORKER_FAILED', `The worker received ${received.problem}`));
    });
    endpoint.addEventListener('messageerror', () => {
      this.#guard.fail(new EmbedderError('WORKER_FAILED', 'The worker received a message that could not be copied'));
    });
    endpoint.start?.();
    this.#post({ type: 'hello' });
  }

  #post(message: ToPage, transfer: Transferable[] = []): void {
    send(this.#endpoint, message, transfer);
  }

  #receive(message: ToEngine): void {
    switch (message.type) {
      case 'open':
        this.#opening ??= this.#answer(message.id, (controller) => this.#load(message.id, message.request, controller.signal));
        return;
      case 'encode':
        return this.#enqueue(message.id, message.request);
      case 'abort':
        return this.#abort(message.id);
      case 'memory':
        return void this.#answer(message.id, async () => this.#post({ type: 'result', id: message.id, value: this.#loaded().memory() }));
      case 'close':
        return void this.#close(message.id);
      default:
        if (message.type === 'store-result' || message.type === 'store-failure') return this.#pageStore.receive(message);
        return this.#pageFetch.receive(message);
    }
  }

  /** Runs a request under its own abort controller, and reports its failure. */
  async #answer(id: number, run: (controller: AbortController) => Promise<void>, controller = new AbortController()): Promise<void> {
    this.#controllers.set(id, controller);
    try {
      await run(controller);
    } catch (error) {
      this.#post({ type: 'failure', id, error: toWire(error) });
    } finally {
      this.#controllers.delete(id);
    }
  }

  async #load(id: number, request: OpenRequest, signal: AbortSignal): Promise<void> {
    if (request.fetch === 'page') this.#open = this.#pageFetch.open;
    const model = await Model.load(request, {
      guard: this.#guard,
      open: this.#open,
      loadFace: (wasm) => this.#soundFace(wasm),
      pageStore: this.#pageStore,
      retryPauseMs: this.#retryPauseMs,
      signal,
      onProgress: (event) => this.#post({ type: 'progress', id, event }),
      onDeviceReady: () => this.#post({ type: 'device-ready', id }),
    });
    // The device may have failed after the last step of loading, when there was no model yet to free.
    const failure = this.#guard.failure;
    if (this.#closed || failure !== undefined) {
      model.free();
      throw failure ?? abortError(signal);
    }
    this.#model = model;
    this.#post({ type: 'result', id, value: model.info });
  }

  async #soundFace(wasm: WasmSource | undefined): Promise<WasmFace> {
    const face = await this.#loadFace(wasm);
    const panic = trapped.get(face);
    if (panic !== undefined) {
      const message = `This thread's WebAssembly module stopped earlier (${panic.message}); load the page again, or use a worker`;
      throw new EmbedderError('INTERNAL', message, { cause: panic, recoverable: false });
    }
    this.#face = face;
    return face;
  }

  #loaded(): Model {
    if (this.#guard.failure !== undefined) throw this.#guard.failure;
    if (this.#model === undefined) throw new EmbedderError(this.#closed ? 'DISPOSED' : 'INTERNAL', 'There is no loaded model');
    return this.#model;
  }

  #enqueue(id: number, request: EncodeRequest): void {
    this.#queue.push({ id, request, controller: new AbortController(), arrived: performance.now() });
    this.#running ??= this.#runQueue();
  }

  async #runQueue(): Promise<void> {
    // Calls that arrive in the same turn are queued before the first one runs.
    await Promise.resolve();
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      const { id, request, controller, arrived } = job;
      await this.#answer(id, () => this.#encode(id, request, controller.signal, arrived), controller);
    }
    this.#running = undefined;
  }

  async #encode(id: number, request: EncodeRequest, signal: AbortSignal, arrived: number): Promise<void> {
    const queueMs = performance.now() - arrived;
    const reply = await this.#loaded().encode(request, {
      open: this.#open,
      signal,
      onProgress: (done, total) => this.#post({ type: 'progress', id, event: { done, total } }),
    });
    const value = { ...reply, timings: { queueMs, ...reply.timings } };
    const buffers = new Set(reply.items.flatMap((item) => (item === null ? [] : [item.values.buffer as ArrayBuffer])));
    this.#post({ type: 'result', id, value }, [...buffers]);
  }

  #abort(id: number): void {
    this.#controllers.get(id)?.abort();
    const waiting = this.#queue.findIndex((job) => job.id === id);
    if (waiting === -1) return;
    this.#queue.splice(waiting, 1);
    this.#post({ type: 'failure', id, error: toWire(abortError()) });
  }

  async #close(id: number): Promise<void> {
    this.#closed = true;
    for (const job of this.#queue.splice(0)) {
      this.#post({ type: 'failure', id: job.id, error: toWire(new EmbedderError('DISPOSED', 'The embedder was disposed of')) });
    }
    for (const controller of this.#controllers.values()) controller.abort();
    await Promise.all([this.#opening, this.#running]);
    this.#model?.free();
    this.#model = undefined;
    this.#stopListening();
    this.#post({ type: 'result', id, value: null });
  }

  /** The device or the module is gone: nothing more is computed, and the page is told why. */
  #fail(error: EmbedderError): void {
    if (this.#face !== undefined && error.data['event'] === 'panic') trapped.set(this.#face, error);
    this.#stopListening();
    this.#queue.length = 0;
    for (const controller of this.#controllers.values()) controller.abort();
    this.#model?.free();
    this.#model = undefined;
    this.#post({ type: 'fatal', error: toWire(error) });
  }
}
