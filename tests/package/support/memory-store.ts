// A store for weights that keeps copies in memory, and fails where a test tells it to.

import type { WeightStore } from '../../../www/lib/index.js';

export interface MemoryStore extends WeightStore {
  readonly kept: Map<string, Uint8Array>;
  /** Called before each put; may throw. */
  beforePut: (name: string, bytes: Uint8Array) => void;
  nGets: number;
}

export function memoryStore(): MemoryStore {
  const kept = new Map<string, Uint8Array>();
  const store: MemoryStore = {
    kept,
    beforePut: () => undefined,
    nGets: 0,
    names: async () => [...kept.keys()],
    get: async (name) => {
      store.nGets += 1;
      return kept.get(name)?.slice();
    },
    put: async (name, bytes) => {
      store.beforePut(name, bytes);
      kept.set(name, bytes.slice());
    },
    delete: async (name) => void kept.delete(name),
  };
  return store;
}

export const full = (): never => {
  throw new DOMException('no room', 'QuotaExceededError');
};
