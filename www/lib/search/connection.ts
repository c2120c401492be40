// The channel to a search engine: a worker of our own, one the caller gives, or the same engine in this
// thread at the other end of a `MessageChannel`.

import { EmbedderError, reasonOf } from '../errors.js';
import type { Port } from './rpc.js';
import type { CreateIndexOptions } from './types.js';

export interface Connection {
  readonly port: Port;
  /** The other side died without a word. */
  onDeath(listener: (error: EmbedderError) => void): void;
  close(): void;
}

/** Fails with `WORKER_FAILED` where no worker can be made. */
export async function connect(worker: CreateIndexOptions['worker']): Promise<Connection> {
  if (worker === false) {
    const { serveSearch } = await import('#search-engine');
    const { port1, port2 } = new MessageChannel();
    serveSearch(port2 as unknown as Port);
    return { port: port1 as unknown as Port, onDeath: () => undefined, close: () => port1.close() };
  }
  if (typeof worker === 'object' && !(worker instanceof URL)) return fromWorker(worker);
  if (typeof Worker === 'undefined') {
    throw new EmbedderError('WORKER_FAILED', 'There are no workers here; `worker: false` searches in the calling thread', { recoverable: false });
  }
  try {
    return fromWorker(
      worker === undefined
        ? new Worker(new URL('./search-worker.js', import.meta.url), { type: 'module', name: 'jina-embeddings-web/search' })
        : new Worker(worker, { type: 'module', name: 'jina-embeddings-web/search' }),
    );
  } catch (cause) {
    throw new EmbedderError('WORKER_FAILED', `The search worker could not be created: ${reasonOf(cause)}`, { cause });
  }
}

function fromWorker(worker: Worker): Connection {
  return {
    port: worker,
    onDeath: (listener) => {
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        // A script that cannot be loaded is reported as a bare event without a message.
        const what = event.message ? `${event.message} (${event.filename}:${event.lineno})` : 'its script could not be loaded';
        listener(new EmbedderError('WORKER_FAILED', `The search worker failed: ${what}`, { cause: event.error }));
      });
    },
    close: () => worker.terminate(),
  };
}
