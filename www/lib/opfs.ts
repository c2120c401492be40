// The origin private file system, as far as the search index and the weights share it: what this thread
// can do there, handles that another tab may hold a moment longer, and writes that tell when the disk is
// full.

import { EmbedderError, isRecord, reasonOf } from './errors.js';

/** The part of `FileSystemSyncAccessHandle` that is used; pages' own types lack it, as only workers have it. */
export interface SyncHandle {
  read(bytes: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(nBytes: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(options?: { mode: 'read-only' }): Promise<SyncHandle> };

const HANDLE_PAUSE_MS = 20;
const HANDLE_TIMEOUT_MS = 5_000;

/** Whether there is one here at all: in a secure context, of a browser that has it. */
export function hasDirectories(): boolean {
  return typeof navigator !== 'undefined' && typeof navigator.storage?.getDirectory === 'function' && typeof FileSystemFileHandle !== 'undefined';
}

/** Whether this thread has handles that read and write at once: a dedicated worker. */
export function hasSyncHandles(): boolean {
  return hasDirectories() && 'createSyncAccessHandle' in FileSystemFileHandle.prototype;
}

/** Whether an operation failed because another tab, or a worker that was just ended, holds the file. */
export function isHeld(error: unknown): boolean {
  return isRecord(error) && error['name'] === 'NoModificationAllowedError';
}

/** Runs `attempt` until nobody else holds the file, for a few seconds at most. */
export async function whenFree<T>(attempt: () => Promise<T>): Promise<T> {
  for (let waited = 0; ; waited += HANDLE_PAUSE_MS) {
    try {
      return await attempt();
    } catch (error) {
      if (!isHeld(error) || waited >= HANDLE_TIMEOUT_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, HANDLE_PAUSE_MS));
    }
  }
}

/** A worker that was just ended may keep its handle a moment longer than its lock. */
export function accessTo(file: FileSystemFileHandle): Promise<SyncHandle> {
  return whenFree(() => (file as SyncFileHandle).createSyncAccessHandle());
}

/** A handle for reading, which several tabs may have at once where the browser knows such; `undefined` while another tab holds the file. */
export async function readAccessTo(file: FileSystemFileHandle): Promise<SyncHandle | undefined> {
  try {
    return await (file as SyncFileHandle).createSyncAccessHandle({ mode: 'read-only' });
  } catch (error) {
    if (isHeld(error)) return undefined;
    throw error;
  }
}

/**
 * A full disk shows as an error, as a write that takes less than it was given, or, in Chromium's private
 * windows, as one that says it took everything and did not: so the file's size is asked as well.
 */
export function writeAll(handle: SyncHandle, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    const n = handle.write(bytes.subarray(done), { at: at + done });
    done += n;
    if (n <= 0 || handle.getSize() < at + done) throw new DOMException(`the ${bytes.length} bytes found no room`, 'QuotaExceededError');
  }
}

/** Gives a failure of the browser's storage its code: `QUOTA` where it is full, else `IO`. `kept` says what is not lost. */
export function storageError(doing: string, cause: unknown, kept = ''): EmbedderError {
  const name = isRecord(cause) && typeof cause['name'] === 'string' ? cause['name'] : '';
  if (name === 'EmbedderError') return cause as EmbedderError;
  if (name === 'QuotaExceededError') return new EmbedderError('QUOTA', `The browser's storage is full: ${doing} failed${kept && `. ${kept}`}`, { cause });
  return new EmbedderError('IO', `${doing} failed: ${reasonOf(cause)}`, { cause });
}
