// The checksum of a piece that is kept: XXH64, as of the search index. In WebAssembly, since a loop in
// JavaScript over as many numbers takes longer than the file system takes to read them.

import xxhash from 'xxhash-wasm';
import { storageError } from '../opfs.js';

/** Its memory grows to the most that it was ever given at once. */
const CHUNK_BYTES = 1 << 16;
/** Of a checksum, in hexadecimal. */
export const CHECKSUM_DIGITS = 16;

export type ChecksumOf = (bytes: Uint8Array) => string;

let loading: Promise<ChecksumOf> | undefined;

/** Fails with `IO` where the page forbids WebAssembly. */
export function loadChecksum(): Promise<ChecksumOf> {
  return (loading ??= xxhash().then(
    ({ create64 }) => (bytes) => {
      const hash = create64();
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) hash.update(bytes.subarray(at, at + CHUNK_BYTES));
      return hash.digest().toString(16).padStart(CHECKSUM_DIGITS, '0');
    },
    (cause: unknown) => {
      throw storageError('Preparing checksums', cause);
    },
  ));
}
