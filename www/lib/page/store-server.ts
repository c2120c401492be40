// Answers the engine with what the methods of the caller's store return.

import { toWire } from '../errors.js';
import { storageError } from '../opfs.js';
import type { WeightStore } from '../types.js';
import type { StoreCall, ToEngine, ToPage } from '../worker/protocol.js';

type StoreRequest = Extract<ToPage, { type: 'store' }>;

export async function answerFromStore(store: WeightStore, { id, call }: StoreRequest, post: (message: ToEngine) => void): Promise<void> {
  try {
    post({ type: 'store-result', id, value: await run(store, call) });
  } catch (error) {
    post({ type: 'store-failure', id, error: toWire(storageError(`\`cache.${call.method}\``, error)) });
  }
}

function run(store: WeightStore, call: StoreCall): Promise<unknown> {
  switch (call.method) {
    case 'names':
      return store.names();
    case 'get':
      return store.get(call.name);
    case 'put':
      return store.put(call.name, call.bytes);
    case 'delete':
      return store.delete(call.name);
  }
}
