// The checksum of a piece that is kept: XXH64, as of the search index. In WebAssembly, since a loop in
// JavaScript over as many numbers takes longer than the file system takes to read them; and in a module of
// ours, into whose memory the file system can read: every library copies what it is given.

import { storageError } from '../opfs.js';
import moduleBytes from './xxh64.wat';

/** Of a checksum, in hexadecimal. */
export const CHECKSUM_DIGITS = 16;
const PAGE_BYTES = 1 << 16;
/** The sums take so many bytes at a time. */
const STRIPE_BYTES = 32;

interface Xxh64 {
  readonly memory: WebAssembly.Memory;
  readonly begin: () => void;
  readonly stripes: (at: number, nBytes: number) => void;
  readonly end: (at: number, nBytes: number, total: number) => bigint;
}

export class Checksums {
  readonly #xxh64: Xxh64;

  private constructor(xxh64: Xxh64) {
    this.#xxh64 = xxh64;
  }

  /** Fails with `IO` where the page forbids WebAssembly. */
  static async load(): Promise<Checksums> {
    try {
      const { instance } = await WebAssembly.instantiate(moduleBytes);
      return new Checksums(instance.exports as unknown as Xxh64);
    } catch (cause) {
      throw storageError('Preparing checksums', cause);
    }
  }

  /**
   * Room for so many bytes, whose checksum takes no copy. It is the same room each time, and valid until the next call.
   *
   * Fails with `IO` where there is no memory for it.
   */
  room(nBytes: number): Uint8Array<ArrayBuffer> {
    const { memory } = this.#xxh64;
    const missing = PAGE_BYTES + nBytes - memory.buffer.byteLength;
    try {
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch (cause) {
      throw storageError('Preparing checksums', cause);
    }
    return new Uint8Array(memory.buffer as ArrayBuffer, PAGE_BYTES, nBytes);
  }

  /** 16 hexadecimal digits. */
  of(bytes: Uint8Array): string {
    const { memory, begin, stripes, end } = this.#xxh64;
    const nStriped = bytes.length - (bytes.length % STRIPE_BYTES);
    begin();
    if (bytes.buffer === memory.buffer) {
      stripes(bytes.byteOffset, nStriped);
      return digitsOf(end(bytes.byteOffset + nStriped, bytes.length - nStriped, bytes.length));
    }
    const page = new Uint8Array(memory.buffer, 0, PAGE_BYTES);
    for (let at = 0; at < nStriped; at += PAGE_BYTES) {
      const part = bytes.subarray(at, Math.min(at + PAGE_BYTES, nStriped));
      page.set(part);
      stripes(0, part.length);
    }
    page.set(bytes.subarray(nStriped));
    return digitsOf(end(0, bytes.length - nStriped, bytes.length));
  }
}

/** WebAssembly's numbers are signed in JavaScript. */
function digitsOf(hash: bigint): string {
  return BigInt.asUintN(64, hash).toString(16).padStart(CHECKSUM_DIGITS, '0');
}
