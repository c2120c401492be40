// Where an index is kept here.

import { EmbedderError } from '../../errors.js';
import { hasSyncHandles } from '../../opfs.js';
import type { StorageKind } from '../types.js';
import { hasIndexedDb, IndexedDbStore } from './indexeddb.js';
import { MemoryStore } from './memory.js';
import { OpfsStore } from './opfs.js';
import type { IndexStore } from './store.js';

/** Fails with `IO` where the storage that was named, or for `'auto'` every one, is missing or refused. */
export async function openStore(kind: 'auto' | StorageKind, name: string): Promise<IndexStore> {
  if (kind === 'memory') return new MemoryStore();
  if (kind === 'indexeddb') {
    if (!hasIndexedDb()) throw missing('IndexedDB');
    return IndexedDbStore.open(name);
  }
  if (kind === 'opfs') {
    if (!hasSyncHandles()) throw missing('the origin private file system with sync access handles (which only dedicated workers have)');
    return OpfsStore.open(name);
  }
  if (hasSyncHandles()) {
    try {
      return await OpfsStore.open(name);
    } catch (refused) {
      if (!hasIndexedDb()) throw refused;
    }
  }
  if (!hasIndexedDb()) throw missing('a storage that lasts; `storage: "memory"` needs none');
  return IndexedDbStore.open(name);
}

function missing(what: string): EmbedderError {
  return new EmbedderError('IO', `This place lacks ${what}`, { recoverable: false });
}
