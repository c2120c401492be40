// The index in IndexedDB, for browsers and threads without sync access handles: the file in pieces, one
// for each write. A write is one transaction, which the database keeps whole or not at all.
//
//   pieces   [generation, offset] -> Uint8Array        head   'head' -> { generation, nBytes }

import { EmbedderError } from '../../errors.js';
import { storageError, type FileState, type IndexStore } from './store.js';

const PREFIX = 'jina-embeddings-web/search/';
const PIECES = 'pieces';
const HEAD = 'head';

export function hasIndexedDb(): boolean {
  return typeof indexedDB !== 'undefined';
}

export class IndexedDbStore implements IndexStore {
  readonly kind = 'indexeddb';
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
    // Another tab that deletes the database must not wait for this one.
    database.onversionchange = () => database.close();
  }

  static async open(name: string): Promise<IndexedDbStore> {
    try {
      const request = indexedDB.open(PREFIX + name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(PIECES);
        request.result.createObjectStore(HEAD);
      };
      return new IndexedDbStore(await settled(request));
    } catch (cause) {
      throw storageError('Opening the database', cause);
    }
  }

  state(): Promise<FileState | undefined> {
    return this.#transact('Reading the index', 'readonly', (_pieces, head) => settled<FileState | undefined>(head.get(HEAD)));
  }

  async read(onChunk: (bytes: Uint8Array) => void): Promise<FileState | undefined> {
    const state = await this.state();
    if (state === undefined) return undefined;
    for (let at = 0; at < state.nBytes; ) {
      const piece = await this.#transact('Reading the index', 'readonly', (pieces) => settled<Uint8Array | undefined>(pieces.get([state.generation, at])));
      if (piece === undefined || piece.length === 0) {
        throw new EmbedderError('INDEX_INVALID', `The index lacks the piece at byte ${at} of ${state.nBytes}`, { data: { offset: at, needed: state.nBytes } });
      }
      onChunk(piece);
      at += piece.length;
    }
    return state;
  }

  write(offset: number, bytes: Uint8Array): Promise<FileState> {
    return this.#transact('Writing the index', 'readwrite', async (pieces, head) => {
      const before = await settled<FileState | undefined>(head.get(HEAD));
      const state = { generation: before?.generation ?? 1, nBytes: offset + bytes.length };
      if ((before?.nBytes ?? 0) < offset) throw new EmbedderError('IO', `The index file is shorter than what was committed: needed ${offset} bytes, found ${before?.nBytes ?? 0}`);
      // Commits are pieces, so that one never begins within another.
      pieces.delete(IDBKeyRange.bound([state.generation, offset], [state.generation, Number.MAX_SAFE_INTEGER]));
      pieces.put(bytes, [state.generation, offset]);
      head.put(state, HEAD);
      return state;
    });
  }

  async replace(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<FileState> {
    const old = await this.state();
    const state = { generation: (old?.generation ?? 0) + 1, nBytes: 0 };
    await this.#deleteAllBut(old?.generation);
    try {
      for await (const chunk of chunks) {
        await this.#transact('Writing the index', 'readwrite', async (pieces) => void pieces.put(chunk, [state.generation, state.nBytes]));
        state.nBytes += chunk.length;
      }
      await this.#transact('Writing the index', 'readwrite', async (_pieces, head) => void head.put(state, HEAD));
    } catch (cause) {
      await this.#deleteAllBut(old?.generation).catch(() => undefined);
      throw cause;
    }
    await this.#deleteAllBut(state.generation).catch(() => undefined); // only in the way, and swept at the next chance
    return state;
  }

  clear(): Promise<void> {
    return this.#transact('Deleting the index', 'readwrite', async (pieces, head) => {
      pieces.clear();
      head.clear();
    });
  }

  close(): void {
    this.#database.close();
  }

  #deleteAllBut(keep: number | undefined): Promise<void> {
    return this.#transact('Deleting an old index', 'readwrite', async (pieces) => {
      if (keep === undefined) return void pieces.clear();
      pieces.delete(IDBKeyRange.upperBound([keep - 1, Infinity]));
      pieces.delete(IDBKeyRange.lowerBound([keep + 1]));
    });
  }

  /** Resolves when the transaction is complete: only then is it on the medium. */
  async #transact<T>(doing: string, mode: IDBTransactionMode, run: (pieces: IDBObjectStore, head: IDBObjectStore) => Promise<T>): Promise<T> {
    try {
      const transaction = this.#database.transaction([PIECES, HEAD], mode, { durability: 'strict' });
      const complete = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new DOMException('The transaction was aborted', 'AbortError'));
      });
      complete.catch(() => undefined); // told below, where the first failure is not another one
      let value: T;
      try {
        value = await run(transaction.objectStore(PIECES), transaction.objectStore(HEAD));
      } catch (cause) {
        try {
          transaction.abort();
        } catch {
          // It ended by itself.
        }
        throw cause;
      }
      await complete;
      return value;
    } catch (cause) {
      throw storageError(doing, cause);
    }
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });
}
