// A `Worker` as far as the package uses one: the engine with a fake wasm face at the other end of a real
// message channel, so that everything is copied and transferred as it would be.

import { serve } from '../../../www/lib/engine/serve.js';
import { uncaughtInWorker } from '../../../www/lib/engine/uncaught.js';
import type { LoadFace } from '../../../www/lib/engine/load-face.js';
import type { Endpoint } from '../../../www/lib/worker/protocol.js';
import type { FakeFace } from './fake-face.js';

export class FakeWorker extends EventTarget {
  readonly inside: MessagePort;
  /** The worker's global scope, where its uncaught errors are events. */
  readonly scope = new EventTarget();
  terminated = false;
  readonly #port: MessagePort;

  constructor() {
    super();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.inside = port2;
    port1.addEventListener('message', ({ data }) => this.dispatchEvent(new MessageEvent('message', { data })));
    port1.start();
  }

  postMessage(message: unknown, transfer: Transferable[] = []): void {
    if (!this.terminated) this.#port.postMessage(message, transfer);
  }

  terminate(): void {
    this.terminated = true;
    this.#port.close();
  }
}

/** Downloads that break are gone on with at once: no test waits. */
const RETRY_PAUSE_MS = 0;

/** A worker whose engine runs `face`, typed as the `Worker` that `createEmbedder` takes. */
export function workerWith(face: FakeFace | LoadFace): Worker & FakeWorker {
  const worker = new FakeWorker();
  serve(worker.inside as unknown as Endpoint, typeof face === 'function' ? face : async () => face, uncaughtInWorker(worker.scope), RETRY_PAUSE_MS);
  return worker as unknown as Worker & FakeWorker;
}

/** A worker that runs nothing: what it says is up to the test. */
export function silentWorker(): Worker & FakeWorker {
  return new FakeWorker() as unknown as Worker & FakeWorker;
}
