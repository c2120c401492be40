// What is kept, and under which names. A file of weights is kept in segments of several pieces; all that is
// known of one is in its name, so that the list of names is the state, and nothing has to be kept in step with it:
//
//   <key>.<first piece>.<bytes>.x<XXH64 of each piece>   a segment
//   <key>.<first piece>.new     one that is being written, or was when its tab went: stands for nothing
//   <key>.part, <key>.whole     the file's description; `whole` is put last, when all of it is verified
//   <hash of its address>.model a model.json, for starting without a network
//
// The key of a file is its SHA-256 where model.json tells it, so that two models share what they have in
// common; else a hash of its address and version. Pieces are verified before they are put. The checksum
// tells on the next start that a piece is still what was put: it guards against a torn or damaged file,
// not against someone.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { isRecord } from '../errors.js';
import type { KeptDescriptions } from '../plan-model.js';
import type { WeightStore } from '../types.js';
import { CHECKSUM_DIGITS } from './checksum.js';
import { UNFINISHED } from './parted-store.js';

const EACH_CHECKSUM = new RegExp(`[0-9a-f]{${CHECKSUM_DIGITS}}`, 'g');

/** Pieces that follow each other, kept under one name. */
export interface KeptSegment {
  readonly name: string;
  /** Index of its first piece. */
  readonly first: number;
  readonly nBytes: number;
  /** Of each piece. */
  readonly checksums: readonly string[];
}

/** One piece of a segment. */
export interface KeptPiece {
  readonly segment: KeptSegment;
  /** Where in the segment it begins. */
  readonly at: number;
  readonly nBytes: number;
  readonly checksum: string;
}

/** What the names say of one file. */
export interface KeptFile {
  readonly key: string;
  /** By the index of the first piece. */
  readonly segments: Map<number, KeptSegment>;
  /** The name of its description, and whether that says that all of it is here and verified. */
  description: string | undefined;
  whole: boolean;
  /** Names that stand for nothing: a second segment of one place, one that was never finished, one with other checksums than XXH64. */
  readonly surplus: string[];
}

/** A file's description. */
export interface FileNote {
  readonly name: string;
  readonly url: string;
  /** Of the whole file; `null` where no server told. */
  readonly nBytes: number | null;
}

/** `version` is what the server says that changes with the file. */
export function keyOf(url: string, sha256OfFile: string | undefined, version: string | undefined): string | undefined {
  if (sha256OfFile !== undefined) return sha256OfFile;
  return version === undefined ? undefined : hashOfText(`${url}\n${version}`);
}

/** SHA-256, lower-case hexadecimal. */
export function hashOfText(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** A segment with its name. */
export function segmentOf(key: string, first: number, nBytes: number, checksums: readonly string[]): KeptSegment {
  return { name: `${key}.${first}.${nBytes}.x${checksums.join('')}`, first, nBytes, checksums };
}

/** The name under which a segment is written. */
export function draftName(key: string, first: number): string {
  return `${key}.${first}${UNFINISHED}`;
}

/** All files of which something is kept. */
export async function keptFiles(store: WeightStore): Promise<Map<string, KeptFile>> {
  const files = new Map<string, KeptFile>();
  for (const name of await store.names()) {
    const [, key, rest] = /^([0-9a-f]{64})\.(part|whole|\d+\.new|\d+\.\d+\.x?(?:[0-9a-f]{16})+)$/.exec(name) ?? [];
    if (key === undefined || rest === undefined) continue;
    const file = files.get(key) ?? nothingKept(key);
    files.set(key, file);
    if (rest === 'whole' || rest === 'part') {
      if (file.description !== undefined) file.surplus.push(`${key}.part`);
      file.whole ||= rest === 'whole';
      file.description = `${key}.${file.whole ? 'whole' : 'part'}`;
      continue;
    }
    const [first, nBytes, checksums] = rest.split('.') as [string, string, string | undefined];
    if (checksums?.startsWith('x') !== true || file.segments.has(Number(first))) file.surplus.push(name);
    else file.segments.set(Number(first), { name, first: Number(first), nBytes: Number(nBytes), checksums: checksums.match(EACH_CHECKSUM) as string[] });
  }
  return files;
}

/** A file of which nothing is kept. */
export function nothingKept(key: string): KeptFile {
  return { key, segments: new Map(), description: undefined, whole: false, surplus: [] };
}

/** The pieces that are kept, by index, of a file that is cut into pieces of `pieceBytes`. */
export function piecesOf(file: KeptFile, pieceBytes: number): Map<number, KeptPiece> {
  const pieces = new Map<number, KeptPiece>();
  for (const segment of file.segments.values()) {
    for (const [i, checksum] of segment.checksums.entries()) {
      const at = i * pieceBytes;
      pieces.set(segment.first + i, { segment, at, nBytes: Math.min(pieceBytes, segment.nBytes - at), checksum });
    }
  }
  return pieces;
}

/** The segments that are none of a file of `nBytes` cut into pieces of `pieceBytes`, or lie over others. */
export function misfitsOf(file: KeptFile, pieceBytes: number, nBytes: number | undefined): KeptSegment[] {
  const misfits: KeptSegment[] = [];
  let end = 0;
  for (const segment of [...file.segments.values()].sort((a, b) => a.first - b.first)) {
    const n = segment.checksums.length;
    const needed = Math.min(n * pieceBytes, (nBytes ?? Infinity) - segment.first * pieceBytes);
    // Where nothing tells the size, any segment may be the last, whose last piece is shorter.
    const fits = nBytes === undefined ? segment.nBytes <= needed && segment.nBytes > needed - pieceBytes : segment.nBytes === needed;
    if (!fits || segment.first < end) misfits.push(segment);
    else end = segment.first + n;
  }
  return misfits;
}

/** The names of its segments, in their order. */
export function namesOf(file: KeptFile | undefined): string[] {
  return file === undefined ? [] : [...file.segments.values()].sort((a, b) => a.first - b.first).map(({ name }) => name);
}

/** Bytes of the segments that are here. */
export function bytesOf(file: KeptFile | undefined): number {
  return file === undefined ? 0 : [...file.segments.values()].reduce((sum, { nBytes }) => sum + nBytes, 0);
}

/** Whether every piece of `nBytes` is here and the file was verified as a whole. */
export function isWhole(file: KeptFile | undefined, nBytes: number | null | undefined): boolean {
  return file !== undefined && file.whole && (nBytes === undefined || nBytes === null || bytesOf(file) === nBytes);
}

export async function noteOf(store: WeightStore, file: KeptFile): Promise<FileNote | undefined> {
  const bytes = file.description === undefined ? undefined : await store.get(file.description);
  const note = bytes === undefined ? undefined : parse(bytes);
  if (!isRecord(note) || typeof note['url'] !== 'string' || typeof note['name'] !== 'string') return undefined;
  const nBytes = note['nBytes'];
  return { url: note['url'], name: note['name'], nBytes: typeof nBytes === 'number' ? nBytes : null };
}

/** Says that a download has begun (`part`), or is complete (`whole`). */
export async function putNote(store: WeightStore, key: string, state: 'part' | 'whole', note: FileNote): Promise<void> {
  await store.put(`${key}.${state}`, utf8ToBytes(JSON.stringify(note)));
  if (state === 'whole') await store.delete(`${key}.part`);
}

/** Deletes all of a file, its description first: what is left by a kill then counts as unfinished. */
export async function forget(store: WeightStore, file: KeptFile): Promise<void> {
  for (const name of [`${file.key}.whole`, `${file.key}.part`]) await store.delete(name);
  await Promise.all([...[...file.segments.values()].map(({ name }) => name), ...file.surplus].map((name) => store.delete(name)));
}

function modelName(url: string): string {
  return `${hashOfText(url)}.model`;
}

/** Every model.json is kept beside its weights, for starting without a network. What fails is none that is kept. */
export function descriptionsIn(store: WeightStore): Required<KeptDescriptions> {
  const get = async (url: string): Promise<string | undefined> => {
    const bytes = await store.get(modelName(url)).catch(() => undefined);
    const kept = bytes === undefined ? undefined : parse(bytes);
    return isRecord(kept) && kept['url'] === url && typeof kept['json'] === 'string' ? kept['json'] : undefined;
  };
  return {
    get,
    put: async (url, json) => {
      if ((await get(url)) === json) return;
      await store.put(modelName(url), utf8ToBytes(JSON.stringify({ url, json }))).catch(() => undefined);
    },
  };
}

/** Every model.json that is kept: name, address, text. */
export async function keptModels(store: WeightStore): Promise<{ readonly name: string; readonly url: string; readonly json: string }[]> {
  const models = [];
  for (const name of await store.names()) {
    if (!name.endsWith('.model')) continue;
    const bytes = await store.get(name);
    const kept = bytes === undefined ? undefined : parse(bytes);
    if (isRecord(kept) && typeof kept['url'] === 'string' && typeof kept['json'] === 'string') models.push({ name, url: kept['url'], json: kept['json'] });
  }
  return models;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
