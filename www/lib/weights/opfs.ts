// Weights in the origin private file system: one folder, in it one file for each name. A file is written
// under another name and renamed when it is complete, so that what has a name is whole; a kill leaves at
// most the other one, which the next attempt at the same name writes over.

import { accessTo, hasDirectories, hasSyncHandles, isHeld, storageError, whenFree, writeAll } from '../opfs.js';
import type { WeightStore } from '../types.js';

const FOLDER = 'jina-embeddings-web-weights';
const UNFINISHED = '.new';

type Directory = FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };
type Movable = FileSystemFileHandle & { move(name: string): Promise<void> };

/** Whether this thread can read, write and rename there. */
export function hasOpfs(): boolean {
  if (!hasDirectories()) return false;
  const methods = FileSystemFileHandle.prototype as object;
  return 'move' in methods && (hasSyncHandles() || 'createWritable' in methods);
}

export class OpfsWeights implements WeightStore {
  readonly #folder: Directory;

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
    for await (const name of this.#folder.keys()) if (!name.endsWith(UNFINISHED)) names.push(name);
    return names;
  }

  async get(name: string, room?: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      const file = await this.#folder.getFileHandle(name);
      return (hasSyncHandles() ? await readWithHandle(file, room) : undefined) ?? new Uint8Array(await (await file.getFile()).arrayBuffer());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const file = (await this.#folder.getFileHandle(name + UNFINISHED, { create: true })) as Movable;
    try {
      if (hasSyncHandles()) {
        const handle = await accessTo(file);
        try {
          handle.truncate(0);
          // Not flushed to the medium, which would take longer than the download: what a power cut
          // tears is found by its checksum and fetched again.
          writeAll(handle, bytes, 0);
        } finally {
          handle.close();
        }
      } else {
        const out = await file.createWritable();
        try {
          await out.write(bytes as BufferSource);
          await out.close();
        } catch (error) {
          await out.abort().catch(() => undefined);
          throw error;
        }
      }
      await whenFree(() => file.move(name));
    } catch (error) {
      await this.#folder.removeEntry(name + UNFINISHED).catch(() => undefined);
      throw error;
    }
  }

  async delete(name: string): Promise<void> {
    for (const each of [name, name + UNFINISHED]) {
      try {
        await whenFree(() => this.#folder.removeEntry(each));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }
}

/** `undefined` where another tab holds the file this instant; then it can be read as a blob, only slower. */
async function readWithHandle(file: FileSystemFileHandle, room: Uint8Array | undefined): Promise<Uint8Array | undefined> {
  let handle;
  try {
    handle = await (file as FileSystemFileHandle & { createSyncAccessHandle(): ReturnType<typeof accessTo> }).createSyncAccessHandle();
  } catch (error) {
    if (isHeld(error)) return undefined;
    throw error;
  }
  try {
    const nBytes = handle.getSize();
    const bytes = room !== undefined && room.length >= nBytes ? room.subarray(0, nBytes) : new Uint8Array(nBytes);
    return bytes.subarray(0, handle.read(bytes, { at: 0 }));
  } finally {
    handle.close();
  }
}

function isMissing(error: unknown): boolean {
  return (error as { name?: unknown } | null)?.name === 'NotFoundError';
}
