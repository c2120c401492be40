// Where an index file lies. One that is replaced is written whole in a new place first, so that whatever
// happens there is always one good file; one that grows is good up to its last commit (docs/index-format.md).

import type { EmbedderError } from '../../errors.js';
import { storageError as anyStorageError } from '../../opfs.js';
import type { StorageKind } from '../types.js';

/** Which file it is, and how long: another tab's commit changes one of them. */
export interface FileState {
  readonly generation: number;
  readonly nBytes: number;
}

export interface IndexStore {
  readonly kind: StorageKind;
  /** `undefined` where there is no file. */
  state(): Promise<FileState | undefined>;
  /** Hands the file over in order, and tells which it was. */
  read(onChunk: (bytes: Uint8Array) => void): Promise<FileState | undefined>;
  /** Cuts the file to `offset` and puts `bytes` there. Resolves when they are on the medium. */
  write(offset: number, bytes: Uint8Array): Promise<FileState>;
  /** Makes `chunks` the file. Until that is complete the old one stays. */
  replace(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<FileState>;
  /** Deletes the file. */
  clear(): Promise<void>;
  close(): void;
}

/** Bytes of the file that are read at a time. */
export const READ_BYTES = 4 * 1024 * 1024;

/** Gives a failure of the browser's storage its code: `QUOTA` where it is full, else `IO`. */
export function storageError(doing: string, cause: unknown): EmbedderError {
  return anyStorageError(doing, cause, 'Nothing that was committed is lost');
}
