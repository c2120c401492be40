// The script of the worker that reads and writes weights: see store-thread.ts.

import { OpfsWeights } from './opfs.js';
import type { FromStoreWorker, ToStoreWorker } from './store-thread.js';

const scope = self as unknown as { onmessage: unknown; postMessage(message: FromStoreWorker, transfer?: Transferable[]): void };
const opening = OpfsWeights.open();

scope.onmessage = ({ data }: MessageEvent<ToStoreWorker>): void => void answer(data);
// Where it cannot be opened, nothing is asked of this worker.
void opening.then(() => scope.postMessage({ type: 'hello' }), () => undefined);

async function answer({ id, method, name, bytes }: ToStoreWorker): Promise<void> {
  try {
    const store = await opening;
    const found = method === 'get' ? await store.get(name, bytes) : (await store.put(name, bytes), bytes);
    scope.postMessage({ type: 'done', id, bytes: found }, found === undefined ? [] : [found.buffer as ArrayBuffer]);
  } catch (error) {
    scope.postMessage({ type: 'failed', id, error });
  }
}
