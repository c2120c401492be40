// An engine that can be started again. A worker that dies, a lost device or a panic ends the calls under
// way; the next call finds a fresh engine with the same model. Only a `Worker` that the caller made is
// not ours to make again: then the failure stays.
//
//   start ─► client ─► … dies ─► (next call) start ─► client ─► …

import { EmbedderError, isEmbedderError } from '../errors.js';
import type { OpenUrl } from '../fetch-body.js';
import type { CreateOptions, EmbedderInfo, ProgressEvent, WeightStore } from '../types.js';
import type { OpenRequest } from '../worker/protocol.js';
import { Client } from './client.js';
import { connect } from './connection.js';
import { marked, modelKey } from './crash-marker.js';
import { SharedTask } from './shared-task.js';

export interface EngineSetup {
  readonly request: OpenRequest;
  readonly worker: CreateOptions['worker'];
  /** Answers the engine's fetches, where the caller gave its own `fetch`. */
  readonly open: OpenUrl | undefined;
  /** Answers the engine's questions for kept weights, where the caller gave its own store. */
  readonly store: WeightStore | undefined;
  readonly initTimeoutMs: number;
  /** Prepares the thread for a start, where there is something to prepare. */
  readonly around: <T>(start: () => Promise<T>) => Promise<T>;
  readonly onProgress: (event: ProgressEvent) => void;
}

interface Running {
  readonly client: Client;
  readonly info: EmbedderInfo;
}

export class LocalEngine {
  readonly #setup: EngineSetup;
  #running: Running;
  #restarting: SharedTask<Running> | undefined;
  #nStarts = 1;
  #disposed = false;

  private constructor(setup: EngineSetup, running: Running) {
    this.#setup = setup;
    this.#running = running;
  }

  /** Starts an engine and loads its model. What fails or is cancelled leaves nothing behind. */
  static async start(setup: EngineSetup, signal: AbortSignal | undefined): Promise<LocalEngine> {
    return new LocalEngine(setup, await startMarked(setup, signal));
  }

  /** Of the engine that ran last. */
  get info(): EmbedderInfo {
    return this.#running.info;
  }

  /** Why the engine no longer answers; `undefined` while it does. */
  get failure(): EmbedderError | undefined {
    return this.#running.client.failure;
  }

  /** How many engines there have been. */
  get nStarts(): number {
    return this.#nStarts;
  }

  /** An engine that answers, for which a dead one is started again. Callers that wait together share the start. */
  async client(signal?: AbortSignal): Promise<Client> {
    if (this.#disposed) throw disposed();
    if (this.failure === undefined || isWorker(this.#setup.worker)) return this.#running.client;
    this.#restarting ??= new SharedTask((abort) => this.#restart(abort));
    return (await this.#restarting.wait(signal)).client;
  }

  async #restart(signal: AbortSignal): Promise<Running> {
    try {
      this.#running = await startMarked(this.#setup, signal);
      this.#nStarts += 1;
      return this.#running;
    } catch (error) {
      throw this.#disposed ? disposed() : error;
    } finally {
      this.#restarting = undefined;
    }
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#restarting?.cancel();
    await this.#running.client.close();
  }
}

/** A worker made by the caller, and not the address of one, or a function that makes one. */
function isWorker(worker: CreateOptions['worker']): worker is Worker {
  return typeof worker === 'object' && !(worker instanceof URL);
}

function disposed(): EmbedderError {
  return new EmbedderError('DISPOSED', 'The embedder was disposed of');
}

/** A start that a later visit can see where it ended the page. A device lost on the way is tried once more. */
function startMarked(setup: EngineSetup, signal: AbortSignal | undefined): Promise<Running> {
  const attempt = (): Promise<Running> => setup.around(() => start(setup, signal));
  return marked(modelKey(setup.request.model), async () => {
    try {
      return await attempt();
    } catch (error) {
      const isLost = isEmbedderError(error) && error.code === 'DEVICE_LOST';
      if (!isLost || signal?.aborted === true || isWorker(setup.worker)) throw error;
      return attempt();
    }
  });
}

async function start(setup: EngineSetup, signal: AbortSignal | undefined): Promise<Running> {
  const { request, worker, open, store, initTimeoutMs, onProgress } = setup;
  const client = new Client(await connect(worker), open, store);
  try {
    client.watchStart(initTimeoutMs);
    const info = (await client.request({ type: 'open', request }, { signal, onProgress })) as EmbedderInfo;
    return { client, info };
  } catch (error) {
    client.abandon();
    throw error;
  }
}
