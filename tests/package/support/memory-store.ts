// A store for weights that keeps copies in memory, and fails where a test tells it to.

import type { WeightStore } from '../../../www/lib/index.js';
import { PARTS, type PartedStore } from '../../../www/lib/weights/parted-store.js';

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

/** One that reads and writes in parts, and takes the buffers of what it is given to write, as a thread of its own does. */
export function partedStore(): MemoryStore & PartedStore {
  const store = memoryStore();
  const { kept } = store;
  const taken = (bytes: Uint8Array): Uint8Array => structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  return Object.assign(store, {
    [PARTS]: { syncs: true },
    read: async (name: string, at: number, room: Uint8Array) => {
      store.nGets += 1;
      const part = kept.get(name)?.subarray(at, at + room.length);
      if (part === undefined) return undefined;
      room.set(part);
      return room.subarray(0, part.length);
    },
    write: async (name: string, at: number, bytes: Uint8Array) => {
      const mine = taken(bytes);
      store.beforePut(name, mine);
      const before = kept.get(name) ?? new Uint8Array();
      const after = new Uint8Array(Math.max(before.length, at + mine.length));
      after.set(before);
      after.set(mine, at);
      kept.set(name, after);
      return mine;
    },
    finish: async (draft: string, name: string, nBytes: number) => {
      const value = kept.get(draft)?.subarray(0, nBytes) as Uint8Array;
      store.beforePut(name, value);
      kept.set(name, value);
      kept.delete(draft);
    },
    release: async () => undefined,
  });
}

export const full = (): never => {
  throw new DOMException('no room', 'QuotaExceededError');
};
