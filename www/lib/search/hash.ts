// Whether a document has changed is told by hashes of it.

import { sha256Hex } from '../digest.js';

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
  return sha256Hex(bytes);
}

/** A value as text that is the same whatever the order of its keys. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}
