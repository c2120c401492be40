// The script of the worker that reads and writes weights: see store-thread.ts.

import { OpfsWeights } from './opfs.js';
import type { FromStoreWorker, StoreTask, ToStoreWorker } from './store-thread.js';

const scope = self as unknown as { onmessage: unknown; postMessage(message: FromStoreWorker, transfer?: Transferable[]): void };
const opening = OpfsWeights.open();

scope.onmessage = ({ data }: MessageEvent<ToStoreWorker>): void => void answer(data);
// Where it cannot be opened, nothing is asked of this worker.
void opening.then(() => scope.postMessage({ type: 'hello' }), () => undefined);

async function answer({ id, ...task }: ToStoreWorker): Promise<void> {
  try {
    const bytes = await done(await opening, task);
    scope.postMessage({ type: 'done', id, bytes }, bytes === undefined ? [] : [bytes.buffer as ArrayBuffer]);
  } catch (error) {
    scope.postMessage({ type: 'failed', id, error });
  }
}

async function done(store: OpfsWeights, task: StoreTask): Promise<Uint8Array | undefined> {
  switch (task.method) {
    case 'write':
      return store.write(task.name, task.at, task.bytes);
    case 'finish':
      return void (await store.finish(task.draft, task.name, task.nBytes));
    case 'delete':
      return void (await store.delete(task.name));
    case 'release':
      return void (await store.release());
  }
}
