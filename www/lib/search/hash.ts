// Whether a document has changed is told by hashes of it: SHA-256, by the browser where the page is a
// secure context, else by code of our own.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

/** Hexadecimal SHA-256 of the parts, each with its length before it, so that none can pass for another's. */
export async function hashOf(...parts: readonly (string | Uint8Array | Uint8ClampedArray)[]): Promise<string> {
  const encoder = new TextEncoder();
  const encoded = parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part));
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length + 8, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of encoded) {
    view.setBigUint64(at, BigInt(part.length), true);
    bytes.set(part, at + 8);
    at += part.length + 8;
  }
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle as SubtleCrypto | undefined;
  return bytesToHex(subtle === undefined ? sha256(bytes) : new Uint8Array(await subtle.digest('SHA-256', bytes)));
}

/** A value as text that is the same whatever the order of its keys. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
