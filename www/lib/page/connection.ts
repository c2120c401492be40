// The channel to an engine: a worker of our own, one the caller gives, or the same engine in this thread
// at the other end of a `MessageChannel`.

import { EmbedderError, reasonOf } from '../errors.js';
import type { CreateOptions } from '../types.js';
import type { Endpoint } from '../worker/protocol.js';

export interface Connection {
  readonly endpoint: Endpoint;
  /** Whether {@link close} alone ends all work on the other side, as ending a worker does. */
  readonly closeEndsWork: boolean;
  /** The other side died without a word. */
  onDeath(listener: (error: EmbedderError) => void): void;
  close(): void;
}

export async function connect(worker: CreateOptions['worker']): Promise<Connection> {
  refuseEdge();
  if (worker === false) return connectInThread();
  if (typeof worker === 'function') return connectWorker(worker());
  if (typeof worker === 'object' && !(worker instanceof URL)) return connectWorker(worker);
  if (typeof Worker === 'undefined') {
    throw new EmbedderError('WORKER_FAILED', 'There are no workers here; `worker: false` computes in the calling thread', { recoverable: false });
  }
  try {
    return connectWorker(
      worker === undefined
        ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'jina-embeddings-web' })
        : new Worker(worker, { type: 'module', name: 'jina-embeddings-web' }),
    );
  } catch (cause) {
    throw new EmbedderError('WORKER_FAILED', `The worker could not be created: ${reasonOf(cause)}`, { cause });
  }
}

/** An edge worker has neither the memory for the model nor the time to load it. */
function refuseEdge(): void {
  const { navigator, EdgeRuntime } = globalThis as { navigator?: { userAgent?: unknown }; EdgeRuntime?: unknown };
  if (navigator?.userAgent !== 'Cloudflare-Workers' && EdgeRuntime === undefined) return;
  throw new EmbedderError('LOCAL_UNAVAILABLE', 'An edge worker cannot hold the model: use the hosted API, with mode "only-hosted" or jina-embeddings-web/hosted');
}

function connectWorker(worker: Worker): Connection {
  return {
    endpoint: worker,
    closeEndsWork: true,
    onDeath: (listener) => {
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        // A script that cannot be loaded is reported as a bare event without a message.
        const where = event.filename ? ` (${event.filename}:${event.lineno})` : '';
        const what = event.message ? `${event.message}${where}` : 'its script could not be loaded';
        listener(new EmbedderError('WORKER_FAILED', `The worker failed: ${what}`, { cause: event.error }));
      });
    },
    close: () => worker.terminate(),
  };
}

async function connectInThread(): Promise<Connection> {
  const { serveInThread } = await import('#engine');
  const { port1, port2 } = new MessageChannel();
  serveInThread(port2 as unknown as Endpoint);
  return {
    endpoint: port1 as unknown as Endpoint,
    closeEndsWork: false,
    onDeath: () => undefined,
    close: () => port1.close(),
  };
}
