// Weights in the origin private file system: one folder, in it one file for each name. A file is written
// under another name and renamed when it is complete, so that what has a name is whole; a kill leaves at
// most the other one, which the next attempt at the same name writes over.
//
// Opening a file and closing it takes longer than reading or writing 2 MiB of it: those that are read or
// written part by part stay open in between.

import { accessTo, hasDirectories, hasSyncHandles, isHeld, readAccessTo, storageError, whenFree, writeAll, type SyncHandle } from '../opfs.js';
import { PARTS, UNFINISHED, type PartedStore } from './parted-store.js';

const FOLDER = 'jina-embeddings-web-weights';
/** Files that are open for reading: what is read now, and the two after it. */
const MAX_READING = 3;

type Directory = FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };
type Movable = FileSystemFileHandle & { move(name: string): Promise<void> };

/** Whether this thread can read, write and rename there. */
export function hasOpfs(): boolean {
  if (!hasDirectories()) return false;
  const methods = FileSystemFileHandle.prototype as object;
  return 'move' in methods && (hasSyncHandles() || 'createWritable' in methods);
}

/** A file that is being written part by part. */
interface Draft {
  readonly file: Movable;
  readonly handle: SyncHandle;
}

/** A file that is read part by part; no `handle`: another tab holds it, or this thread has none. */
interface Reading {
  readonly file: FileSystemFileHandle;
  readonly handle: SyncHandle | undefined;
}

export class OpfsWeights implements PartedStore {
  readonly [PARTS] = { syncs: hasSyncHandles() };
  readonly #folder: Directory;
  readonly #drafts = new Map<string, Draft>();
  readonly #reading = new Map<string, Promise<Reading>>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(folder: Directory) {
    this.#folder = folder;
  }

  /** Fails with `IO` where the browser refuses, as some do in private windows. */
  static async open(): Promise<OpfsWeights> {
    try {
      const root = await navigator.storage.getDirectory();
      return new OpfsWeights((await root.getDirectoryHandle(FOLDER, { create: true })) as Directory);
    } catch (cause) {
      throw storageError('Opening the origin private file system', cause);
    }
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names;
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    try {
      const file = await this.#folder.getFileHandle(name);
      return new Uint8Array(await (await file.getFile()).arrayBuffer());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  read(name: string, at: number, room: Uint8Array, next: readonly string[] = []): Promise<Uint8Array | undefined> {
    return this.#inTurn(async () => {
      const reading = this.#toRead(name);
      for (const each of next) this.#toRead(each);
      try {
        const { file, handle } = await reading;
        if (handle !== undefined) return room.subarray(0, handle.read(room, { at }));
        return new Uint8Array(await (await file.getFile()).slice(at, at + room.length).arrayBuffer());
      } catch (error) {
        await this.#endReading(name);
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  /** Closes a file that another thread is going to change. */
  stopReading(name: string): Promise<void> {
    return this.#inTurn(() => this.#endReading(name));
  }

  write(name: string, at: number, bytes: Uint8Array): Promise<Uint8Array> {
    return this.#inTurn(async () => {
      const draft = this.#drafts.get(name);
      if (draft !== undefined) return writeAll(draft.handle, bytes, at), bytes;
      await this.#endReading(name);
      const file = (await this.#folder.getFileHandle(name, { create: true })) as Movable;
      if (!hasSyncHandles()) {
        await writeCopy(file, { type: 'write', position: at, data: bytes as BufferSource }, true);
        return bytes;
      }
      const handle = await accessTo(file);
      const isDraft = name.endsWith(UNFINISHED);
      if (isDraft) this.#drafts.set(name, { file, handle });
      try {
        writeAll(handle, bytes, at);
      } finally {
        if (!isDraft) handle.close();
      }
      return bytes;
    });
  }

  // Not flushed to the medium, which would take longer than the download: what a power cut tears is found by
  // its checksum and fetched again.
  finish(draft: string, name: string, nBytes: number): Promise<void> {
    return this.#inTurn(async () => {
      const { file, handle } = this.#drafts.get(draft) ?? (await this.#draftOf(draft));
      this.#drafts.delete(draft);
      try {
        if (handle.getSize() !== nBytes) handle.truncate(nBytes);
      } finally {
        handle.close();
      }
      await whenFree(() => file.move(name));
    });
  }

  release(): Promise<void> {
    return this.#inTurn(async () => {
      for (const each of [...this.#reading.keys()]) await this.#endReading(each);
      for (const { handle } of this.#drafts.values()) handle.close();
      this.#drafts.clear();
    });
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const file = (await this.#folder.getFileHandle(name + UNFINISHED, { create: true })) as Movable;
    try {
      if (hasSyncHandles()) {
        const handle = await accessTo(file);
        try {
          handle.truncate(0);
          writeAll(handle, bytes, 0);
        } finally {
          handle.close();
        }
      } else await writeCopy(file, bytes as BufferSource, false);
      await whenFree(() => file.move(name));
    } catch (error) {
      await this.#folder.removeEntry(name + UNFINISHED).catch(() => undefined);
      throw error;
    }
  }

  delete(name: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#endReading(name);
      this.#drafts.get(name)?.handle.close();
      this.#drafts.delete(name);
      for (const each of [name, name + UNFINISHED]) {
        try {
          // A draft that is held is of another tab, which goes on with it.
          await (name.endsWith(UNFINISHED) ? this.#folder.removeEntry(each) : whenFree(() => this.#folder.removeEntry(each)));
        } catch (error) {
          if (!isMissing(error) && !(isHeld(error) && name.endsWith(UNFINISHED))) throw error;
        }
      }
    });
  }

  async #draftOf(name: string): Promise<Draft> {
    const file = (await this.#folder.getFileHandle(name)) as Movable;
    return { file, handle: await accessTo(file) };
  }

  /** Opens it, unless it is; the one that was not asked for the longest is closed for it. */
  #toRead(name: string): Promise<Reading> {
    const known = this.#reading.get(name);
    if (known !== undefined) {
      this.#reading.delete(name);
      this.#reading.set(name, known);
      return known;
    }
    const [oldest] = this.#reading.keys();
    if (oldest !== undefined && this.#reading.size === MAX_READING) void this.#endReading(oldest);
    const reading = this.#folder.getFileHandle(name).then(async (file) => ({ file, handle: hasSyncHandles() ? await readAccessTo(file) : undefined }));
    reading.catch(() => undefined); // told to whoever reads it
    this.#reading.set(name, reading);
    return reading;
  }

  async #endReading(name: string): Promise<void> {
    const reading = this.#reading.get(name);
    this.#reading.delete(name);
    (await reading?.catch(() => undefined))?.handle?.close();
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

/** Where a thread has no handles: the browser writes into a copy of the file, and puts that in its place. */
async function writeCopy(file: FileSystemFileHandle, part: FileSystemWriteChunkType, keepExistingData: boolean): Promise<void> {
  const out = await file.createWritable({ keepExistingData });
  try {
    await out.write(part);
    await out.close();
  } catch (error) {
    await out.abort().catch(() => undefined);
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as { name?: unknown } | null)?.name === 'NotFoundError';
}
