// The index in the forms of other programs: NumPy arrays, and points for Qdrant.

import { sha256 } from '@noble/hashes/sha2.js';
import { EmbedderError } from '../errors.js';
import type { ExportedItem } from './engine/requests.js';
import { toNpy } from './npy.js';
import type { IndexInfo, NpyExport, QdrantExport, QdrantPoint } from './types.js';

const ITEMS_AT_ONCE = 256;

export type ReadItems = (request: { offset: number; limit: number }) => Promise<ExportedItem[]>;

async function* allItems(read: ReadItems, atOnce = ITEMS_AT_ONCE): AsyncGenerator<ExportedItem[]> {
  for (let offset = 0; ; offset += atOnce) {
    const items = await read({ offset, limit: atOnce });
    if (items.length > 0) yield items;
    if (items.length < atOnce) return;
  }
}

export async function exportNpy(info: IndexInfo, read: ReadItems): Promise<NpyExport> {
  const { dimensions, multivectorDimensions } = info;
  const items: ExportedItem[] = [];
  for await (const block of allItems(read)) items.push(...block);
  const concatenated = (parts: readonly Float32Array[]): Float32Array => {
    const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      values.set(part, at);
      at += part.length;
    }
    return values;
  };
  const none = new Float32Array(0);
  let multivectors: NpyExport['multivectors'];
  if (multivectorDimensions !== undefined) {
    const offsets = new BigInt64Array(items.length + 1);
    items.forEach(({ multivector = none }, i) => (offsets[i + 1] = (offsets[i] ?? 0n) + BigInt(multivector.length / multivectorDimensions)));
    const values = concatenated(items.map(({ multivector = none }) => multivector));
    multivectors = { values: toNpy(values, [values.length / multivectorDimensions, multivectorDimensions]), offsets: toNpy(offsets, [offsets.length]) };
  }
  return {
    vectors: dimensions === undefined ? undefined : toNpy(concatenated(items.map(({ vector = none }) => vector)), [items.length, dimensions]),
    multivectors,
    rows: items.map(({ document, passage, text, fields }) => ({ id: document, passage, text, fields })),
  };
}

export function exportQdrant(info: IndexInfo, metric: 'cosine' | 'dot', read: ReadItems, batchSize = ITEMS_AT_ONCE): QdrantExport {
  if (!(Number.isSafeInteger(batchSize) && batchSize > 0)) throw new EmbedderError('INPUT_INVALID', `option \`batchSize\` must be a whole number above 0, not ${String(batchSize)}`);
  const distance = metric === 'dot' ? 'Dot' : 'Cosine';
  const { dimensions, multivectorDimensions } = info;
  const vectors: QdrantExport['collection']['vectors'] = {};
  if (dimensions !== undefined) vectors['dense'] = { size: dimensions, distance };
  // Multi-vectors only rank what the dense ones found, so no graph is built over them: m = 0.
  if (multivectorDimensions !== undefined) vectors['tokens'] = { size: multivectorDimensions, distance, multivector_config: { comparator: 'max_sim' }, hnsw_config: { m: 0 } };
  const batches = async function* (): AsyncGenerator<{ wait: boolean; points: QdrantPoint[] }> {
    for await (const block of allItems(read, batchSize)) {
      yield { wait: true, points: block.map((item) => point(item, multivectorDimensions)) };
    }
  };
  return { collection: { vectors }, batches: { [Symbol.asyncIterator]: batches } };
}

function point({ document, passage, text, title, fields, vector, multivector }: ExportedItem, tokenDimensions: number | undefined): QdrantPoint {
  const tokens: number[][] = [];
  if (multivector !== undefined && tokenDimensions !== undefined) {
    for (let at = 0; at < multivector.length; at += tokenDimensions) tokens.push(Array.from(multivector.subarray(at, at + tokenDimensions)));
  }
  return {
    id: uuidOf(`${document}#${passage}`),
    vector: { ...(vector === undefined ? {} : { dense: Array.from(vector) }), ...(tokens.length === 0 ? {} : { tokens }) },
    payload: { ...fields, _document: document, _passage: passage, _text: text, ...(title === undefined ? {} : { _title: title }) },
  };
}

/** A UUID of version 8 (RFC 9562): the first bits of the SHA-256 of the name. Qdrant's ids are UUIDs or integers. */
function uuidOf(name: string): string {
  const bytes = sha256(new TextEncoder().encode(`jina-embeddings-web/search/${name}`)).slice(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
