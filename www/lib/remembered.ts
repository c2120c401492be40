// What was found out about an adapter, for the next visit. A browser without storage, or one that
// refuses it, remembers nothing: what is kept here can always be found out again.

const DATABASE = 'jina-embeddings-web/device';
const FACTS = 'facts';

/** What was remembered under this key; `undefined` where nothing was, or nothing can be. */
export async function recall(key: string): Promise<string | undefined> {
  const value = await transact<unknown>('readonly', (facts) => facts.get(key));
  return typeof value === 'string' ? value : undefined;
}

/** Remembers a value, if this browser lets it. */
export async function remember(key: string, value: string): Promise<void> {
  await transact('readwrite', (facts) => facts.put(value, key));
}

/** Forgets everything. */
export async function forgetAll(): Promise<void> {
  await transact('readwrite', (facts) => facts.clear());
}

async function transact<T>(mode: IDBTransactionMode, run: (facts: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  if (typeof indexedDB === 'undefined') return undefined;
  try {
    const database = await opened();
    try {
      const transaction = database.transaction(FACTS, mode);
      const request = run(transaction.objectStore(FACTS));
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('aborted'));
      });
      return request.result;
    } finally {
      database.close();
    }
  } catch {
    // Private windows, blocked storage, a full disk: all of them mean that nothing is remembered.
    return undefined;
  }
}

function opened(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(FACTS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('no database'));
    request.onblocked = () => reject(new Error('blocked'));
  });
}
