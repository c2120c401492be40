// The index in the origin private file system: a folder per index, in it
//
//   <generation>.index   the file            <generation>.whole   an empty file: the other was written to its end
//
// A new generation is written, flushed, and only then marked as whole; a kill before that leaves the old
// one, a kill after it leaves both, of which the higher counts. So nothing depends on how a browser
// renames files. Writing uses sync access handles, held no longer than a write takes, since a handle
// keeps every other tab from the file.

import { EmbedderError } from '../../errors.js';
import { accessTo, writeAll, type SyncHandle } from '../../opfs.js';
import { READ_BYTES, storageError, type FileState, type IndexStore } from './store.js';

const FOLDER = 'jina-embeddings-web';
const FILE = '.index';
const WHOLE = '.whole';

export class OpfsStore implements IndexStore {
  readonly kind = 'opfs';
  readonly #folder: FileSystemDirectoryHandle;

  private constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  /** Fails with `IO` where the browser refuses, as some do in private windows. */
  static async open(name: string): Promise<OpfsStore> {
    try {
      const root = await navigator.storage.getDirectory();
      const own = await root.getDirectoryHandle(FOLDER, { create: true });
      // Names of files are narrower than names of indexes.
      return new OpfsStore(await own.getDirectoryHandle(encodeURIComponent(name).replaceAll('*', '%2A').replaceAll('.', '%2E'), { create: true }));
    } catch (cause) {
      throw storageError('Opening the origin private file system', cause);
    }
  }

  async state(): Promise<FileState | undefined> {
    const generation = await this.#current();
    if (generation === undefined) return undefined;
    return { generation, nBytes: (await this.#file(generation)).size };
  }

  async read(onChunk: (bytes: Uint8Array) => void): Promise<FileState | undefined> {
    const generation = await this.#current();
    if (generation === undefined) return undefined;
    const file = await this.#file(generation);
    for (let at = 0; at < file.size; at += READ_BYTES) {
      onChunk(await this.#try('Reading the index', async () => new Uint8Array(await file.slice(at, at + READ_BYTES).arrayBuffer())));
    }
    return { generation, nBytes: file.size };
  }

  async write(offset: number, bytes: Uint8Array): Promise<FileState> {
    const generation = await this.#current();
    if (generation === undefined) {
      if (offset !== 0) throw new EmbedderError('IO', `The index file is gone: ${offset} bytes were committed, and there is none`);
      return this.replace([bytes]);
    }
    await this.#withHandle(generation, (handle) => {
      const before = handle.getSize();
      if (before < offset) throw new EmbedderError('IO', `The index file is shorter than what was committed: needed ${offset} bytes, found ${before}`);
      try {
        handle.truncate(offset);
        writeAll(handle, bytes, offset);
        handle.flush();
      } catch (cause) {
        // Best effort: what is torn is left out when the file is opened, too.
        try {
          handle.truncate(offset);
          handle.flush();
        } catch {
          // The first failure is the one to tell.
        }
        throw cause;
      }
    });
    return { generation, nBytes: offset + bytes.length };
  }

  async replace(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<FileState> {
    const old = await this.#current();
    const generation = (old ?? 0) + 1;
    await this.#sweep(old);
    let nBytes = 0;
    try {
      await this.#withHandle(generation, async (handle) => {
        for await (const chunk of chunks) {
          writeAll(handle, chunk, nBytes);
          nBytes += chunk.length;
        }
        handle.flush();
      });
      await this.#try('Completing the new index file', () => this.#folder.getFileHandle(fileName(generation, WHOLE), { create: true }));
    } catch (cause) {
      await this.#sweep(old).catch(() => undefined);
      throw cause;
    }
    await this.#sweep(generation).catch(() => undefined); // the old one is only in the way, and swept at the next chance
    return { generation, nBytes };
  }

  async clear(): Promise<void> {
    await this.#sweep(undefined);
  }

  close(): void {
    // No handle is held between calls.
  }

  /** The highest generation that was written to its end. */
  async #current(): Promise<number | undefined> {
    const names = await this.#names();
    const whole = [...names].filter((name) => name.endsWith(WHOLE)).map((name) => Number.parseInt(name, 10));
    return whole.filter((generation) => names.has(fileName(generation, FILE))).sort((a, b) => b - a)[0];
  }

  /** Deletes every file but those of `keep`: the mark first, so that no mark ever stands without its file. */
  async #sweep(keep: number | undefined): Promise<void> {
    const stale = [...(await this.#names())].filter((name) => Number.parseInt(name, 10) !== keep);
    for (const name of stale.sort((a, b) => Number(b.endsWith(WHOLE)) - Number(a.endsWith(WHOLE)))) {
      await this.#try('Deleting an old index file', () => this.#folder.removeEntry(name));
    }
  }

  async #names(): Promise<Set<string>> {
    return this.#try('Listing the index files', async () => {
      const names = new Set<string>();
      for await (const name of (this.#folder as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
        if (/^\d+\.(index|whole)$/.test(name)) names.add(name);
      }
      return names;
    });
  }

  #file(generation: number): Promise<File> {
    return this.#try('Reading the index', async () => (await this.#folder.getFileHandle(fileName(generation, FILE))).getFile());
  }

  async #withHandle(generation: number, use: (handle: SyncHandle) => void | Promise<void>): Promise<void> {
    await this.#try('Writing the index', async () => {
      const file = await this.#folder.getFileHandle(fileName(generation, FILE), { create: true });
      const handle = await accessTo(file);
      try {
        await use(handle);
      } finally {
        handle.close();
      }
    });
  }

  async #try<T>(doing: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (cause) {
      throw storageError(doing, cause);
    }
  }
}

function fileName(generation: number, suffix: string): string {
  return `${String(generation).padStart(8, '0')}${suffix}`;
}
