// What loading is held against, and loading itself without the device. All times in milliseconds.
import { Keeper, loadFile, openWeightStore, remoteFacts, Rooms, ROOMS, StoreThread } from '/jina-embeddings-web/weights.js';

const PIECE_BYTES = 2 << 20;
/** Of one request, as the package makes them. */
const RUN_BYTES = 2 * PIECE_BYTES;
const since = (start) => performance.now() - start;

async function planOf(model) {
  const { files } = await (await fetch(new URL('model.json', model))).json();
  return files.map(({ path, role, task, n_bytes, sha256, pieces }) => ({
    role, task, name: path, source: { url: new URL(path, model).href }, nBytes: n_bytes, sha256, pieceBytes: PIECE_BYTES, hashes: pieces && { nBytes: pieces.n_bytes, sha256: pieces.sha256 },
  }));
}

const measurements = {
  /** Reads every file from the network, one after the other, by four ranges at once, and keeps nothing. */
  async network(model) {
    const files = await planOf(model);
    const start = performance.now();
    for (const { source, nBytes } of files) {
      let next = 0;
      await Promise.all(Array.from({ length: 4 }, async () => {
        let room = new ArrayBuffer(1 << 18);
        while (next < nBytes) {
          const first = next;
          next += RUN_BYTES;
          const { body } = await fetch(source.url, { cache: 'no-store', headers: { range: `bytes=${first}-${Math.min(next, nBytes) - 1}` } });
          const reader = body.getReader({ mode: 'byob' });
          for (;;) {
            const { done, value } = await reader.read(new Uint8Array(room));
            room = value.buffer;
            if (done) break;
          }
        }
      }));
    }
    return since(start);
  },

  /** Writes so many bytes into the origin private file system, in files of `fileBytes`, and deletes them. */
  async disk(nBytes, fileBytes) {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('bench', { create: true });
    const bytes = crypto.getRandomValues(new Uint8Array(1 << 16));
    const piece = Uint8Array.from({ length: PIECE_BYTES }, (_, i) => bytes[i & 0xffff]);
    const start = performance.now();
    for (let first = 0; first < nBytes; first += fileBytes) {
      const handle = await (await folder.getFileHandle(String(first), { create: true })).createSyncAccessHandle();
      const end = Math.min(fileBytes, nBytes - first);
      for (let at = 0; at < end; at += PIECE_BYTES) handle.write(piece.subarray(0, end - at), { at });
      handle.close();
    }
    const taken = since(start);
    await root.removeEntry('bench', { recursive: true });
    return taken;
  },

  /** Hashes so many bytes, `at_once` of them at a time, as the package does: in this thread, of bytes that are copied first. */
  async hash(nBytes, at_once) {
    const bytes = new Uint8Array(at_once).fill(7);
    const start = performance.now();
    for (let at = 0; at < nBytes; at += at_once) await crypto.subtle.digest('SHA-256', bytes);
    return since(start);
  },

  /** Reads all that the package keeps, file by file, into one buffer. */
  async read() {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('jina-embeddings-web-weights');
    const room = new Uint8Array(PIECE_BYTES);
    let nBytes = 0;
    const start = performance.now();
    for await (const file of folder.values()) {
      const handle = await file.createSyncAccessHandle();
      for (let at = 0, n; (n = handle.read(room, { at })) > 0; at += n) nBytes += n;
      handle.close();
    }
    return { ms: since(start), nBytes };
  },

  /** All of loading but the device: fetched or read, verified, kept, and handed to nobody. */
  async load(model) {
    const files = await planOf(model);
    const { signal } = new AbortController();
    const kept = await openWeightStore('opfs');
    const uncached = [];
    const open = async (url, method, _signal, { range } = {}) => {
      const response = await fetch(url, { method, cache: 'no-store', ...(range && { headers: { range: `bytes=${range.start}-${range.end - 1}` } }) });
      const reader = response.body?.getReader({ mode: 'byob' });
      let room = new ArrayBuffer(1 << 18);
      const header = (name) => response.headers.get(name);
      return {
        head: { status: response.status, statusText: '', contentLength: header('content-length'), contentRange: header('content-range'), etag: header('etag'), lastModified: header('last-modified') },
        read: async () => {
          const { done, value } = await reader.read(new Uint8Array(room));
          room = value.buffer;
          return done ? undefined : value;
        },
        cancel: () => void reader?.cancel(),
      };
    };
    const start = performance.now();
    const store = StoreThread.over(kept) ?? kept;
    const facts = await remoteFacts(files, open, signal);
    const keeper = new Keeper({ store, isBrowsersStore: true, folder: model, signal, onProgress: (event) => uncached.push(event) });
    await keeper.askForRoom(files, facts);
    const rangeOrigins = new Set(), rooms = new Rooms(ROOMS);
    for (const [i, file] of files.entries()) {
      await keeper.withKept(file, facts[i], (keeping) => loadFile(file, keeping, { open, signal, rangeOrigins, rooms, retryPauseMs: 250, onBytes: () => undefined, sink: () => undefined }));
    }
    const ms = since(start);
    await store.release();
    if (store !== kept) store.close();
    return { ms, uncached };
  },
};

onmessage = async ({ data: { name, given } }) => {
  try {
    postMessage({ value: await measurements[name](...given) });
  } catch (error) {
    postMessage({ error: String(error.stack ?? error) });
  }
};
