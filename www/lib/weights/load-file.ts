// One file of weights, from where it is to the device, in pieces of 2 MiB at most:
//
//   kept here ──► checksum ─┐
//                           ├─► in order, 1 MiB at a time ──► sink
//   server ──► SHA-256 ─────┘                                ──► kept, see segment-writer.ts
//
// What is kept is read when its turn has come, into the memory that checksums are computed in: into another
// buffer, by another thread, or ahead of its turn took longer. Four lanes fetch at the same time, and hand on
// in turn. A piece is kept last, since its buffer may go to the thread that writes; its lane reads on meanwhile,
// or the lane whose turn is next would wait for the disk. Six buffers are all that is ever held of a file,
// whatever its size: a lane without one waits. What is not kept here a lane asks for in runs of two pieces:
// each request costs the way to the server and back. No longer ones: what comes of a run while another lane
// is on turn, browsers hold in the page's memory. Where model.json tells the SHA-256 of each piece, none reaches
// the device unverified; where it tells the file's alone, that is computed on the way.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { sha256Hex } from '../digest.js';
import { abortError, EmbedderError, reasonOf } from '../errors.js';
import type { PlannedFile } from '../model-files.js';
import type { WeightStore } from '../types.js';
import type { Checksums } from './checksum.js';
import { bytesOf, isWhole, piecesOf, type KeptFile, type KeptPiece, type KeptSegment } from './kept.js';
import { isParted, PARTS } from './parted-store.js';
import { RemoteFile, type RemoteHooks } from './remote-file.js';
import type { Rooms } from './rooms.js';
import { SegmentWriter } from './segment-writer.js';

/** The most that is handed on at once. */
export const SLICE_BYTES = 1 << 20;
/** Pieces that are on their way at the same time. */
const LANES = 4;
/** Pieces that are held at the same time: one for each lane, the others are being kept. */
export const ROOMS = 6;
/** Pieces that one request is for. */
const RUN = 2;
/** Segments that are opened before they are read. */
const AHEAD = 2;
/** After so many pieces messages to this thread are let in: an abort, and the answers that open what is read next. */
const TURN_PIECES = 4;
/** How often a piece whose bytes are wrong is asked for. */
const MAX_WRONG = 2;

/** What of a file is kept, and where more of it goes. */
export interface Keeping {
  readonly store: WeightStore;
  readonly file: KeptFile;
  readonly checksums: Checksums;
  /** The names that will be read after this file's, for stores that can open them before. */
  readonly next: readonly string[];
  /** Whether what is fetched is kept, too. */
  isOpen(): boolean;
  /** A piece could not be kept. */
  failed(error: unknown): void;
}

export interface FileHooks extends Omit<RemoteHooks, 'unstored'> {
  /** {@link ROOMS} buffers, for one file after the other. */
  readonly rooms: Rooms;
  /** Takes the next bytes, which are only valid until it returns. */
  sink(bytes: Uint8Array): void | Promise<void>;
}

/**
 * Hands the bytes of `file` to the sink, and returns how many there were.
 *
 * Fails with `DOWNLOAD_FAILED` (status, network, length), `INTEGRITY` (hash), `IO` (a local file) or an
 * `AbortError`. Nothing is under way any more when it settles.
 */
export async function loadFile(file: PlannedFile, keeping: Keeping | undefined, hooks: FileHooks): Promise<number> {
  const { signal } = hooks;
  if (signal.aborted) throw abortError(signal);
  const ended = new AbortController();
  const end = (): void => ended.abort(signal.reason);
  signal.addEventListener('abort', end, { once: true });
  const source = new Source(file, keeping, { ...hooks, signal: ended.signal });
  const hash = file.sha256 === undefined || source.isVerified ? undefined : sha256.create();
  const turns = new Turns();
  let nBytes = 0;

  let nPieces = 0;
  const handOn = async (piece: Uint8Array): Promise<void> => {
    for (let at = 0; at < piece.length; at += SLICE_BYTES) {
      const slice = piece.subarray(at, at + SLICE_BYTES);
      hash?.update(slice);
      await hooks.sink(slice);
      if (ended.signal.aborted) throw abortError(signal);
    }
    nBytes += piece.length;
    if (++nPieces % TURN_PIECES === 0) await turns.next();
  };

  const order = new Order();
  let next = 0;
  let isOver = false;
  const lane = async (): Promise<void> => {
    try {
      for (let index = 0, runEnd = 0; !isOver; index++) {
        if (index === runEnd) {
          index = next;
          runEnd = next += source.runFrom(index);
        }
        if (source.ends(index)) break;
        const turn = order.turnOf(index);
        const piece = await source.read(index, runEnd, turn);
        await turn;
        if (piece === undefined) isOver = true;
        if (piece === undefined || isOver || ended.signal.aborted) {
          if (piece !== undefined) source.drop(piece);
          if (ended.signal.aborted) throw abortError(signal);
          break;
        }
        await handOn(piece.bytes).catch((error: unknown) => {
          source.drop(piece);
          throw error;
        });
        order.pass();
        source.keep(index, piece);
      }
    } catch (error) {
      ended.abort();
      throw error;
    } finally {
      if (isOver || ended.signal.aborted) order.end();
    }
  };

  const lanes = Array.from({ length: LANES }, lane);
  try {
    await Promise.all(lanes);
    if (file.nBytes !== undefined && nBytes !== file.nBytes) throw lengthError(file, nBytes);
    if (hash !== undefined) requireHash(file, file.sha256 as string, bytesToHex(hash.digest()));
    return nBytes;
  } catch (error) {
    // The first failure ends the other lanes, whose own then say less.
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    signal.removeEventListener('abort', end);
    source.close();
    await Promise.allSettled(lanes);
    await source.end();
    turns.close();
  }
}

interface Piece {
  readonly bytes: Uint8Array;
  /** To be given back. The bytes lie in it, unless the store had them elsewhere; `undefined`: they lie where checksums are computed. */
  readonly room: ArrayBuffer | undefined;
  /** They come from the server, and are to be kept. */
  readonly isNew: boolean;
}

/** Where the pieces of one file come from. */
class Source {
  readonly #file: PlannedFile;
  readonly #keeping: Keeping | undefined;
  readonly #hooks: FileHooks;
  readonly #remote: RemoteFile | undefined;
  /** The file was verified as a whole when it was kept; of each piece the right checksum is known. */
  readonly #wasWhole: boolean;
  readonly #keptBytes: number;
  /** What is kept of the file, by index. */
  readonly #pieces: Map<number, KeptPiece>;
  readonly #writer: SegmentWriter | undefined;
  readonly #putting = new Set<Promise<void>>();
  /** The store reads in this thread, which waits for it: what is kept is read in its turn. */
  readonly #readsHere: boolean;
  /** Of every piece but the last. */
  readonly pieceBytes: number;

  constructor(file: PlannedFile, keeping: Keeping | undefined, hooks: FileHooks) {
    this.#file = file;
    this.#keeping = keeping;
    this.#hooks = hooks;
    this.#keptBytes = bytesOf(keeping?.file);
    this.#readsHere = keeping !== undefined && isParted(keeping.store) && keeping.store[PARTS].syncs;
    this.#wasWhole = isWhole(keeping?.file, file.nBytes);
    this.pieceBytes = Math.min(file.pieceBytes, file.nBytes ?? Infinity);
    this.#pieces = keeping === undefined ? new Map() : piecesOf(keeping.file, this.pieceBytes);
    this.#writer = keeping === undefined ? undefined : new SegmentWriter(keeping.store, keeping.file, keeping.checksums, (error) => keeping.failed(error));
    this.#remote = 'url' in file.source ? new RemoteFile(file.source.url, file.nBytes, { ...hooks, unstored: keeping !== undefined }) : undefined;
  }

  /** Whether each piece is verified by itself. */
  get isVerified(): boolean {
    return this.#file.hashes !== undefined || this.#wasWhole;
  }

  /** Whether the file is known to end before piece `index`. */
  ends(index: number): boolean {
    const nBytes = this.#file.nBytes ?? (this.#wasWhole ? this.#keptBytes : this.#remote?.nBytes);
    return nBytes !== undefined && index * this.pieceBytes >= nBytes;
  }

  /** How many pieces from `index` on are asked for at once. */
  runFrom(index: number): number {
    const { nBytes } = this.#file;
    // A server that ignores ranges is read from its beginning on, one piece after the other.
    if (nBytes === undefined || this.#remote?.hasRanges !== true) return 1;
    // A small file is for all lanes, too.
    const most = Math.min(RUN, Math.ceil(nBytes / this.pieceBytes / LANES));
    let n = 0;
    while (n < most && !this.#pieces.has(index + n)) n++;
    return Math.max(1, n);
  }

  /**
   * A piece, which has to be kept or dropped.
   *
   * - `runEnd`: the piece up to which the same lane goes on
   * - `turn`: resolves when all before it were handed on
   * - returns: `undefined` past the end
   */
  async read(index: number, runEnd: number, turn: Promise<void>): Promise<Piece | undefined> {
    const { rooms } = this.#hooks;
    const here = await this.#inTurn(index, turn);
    if (here !== undefined) return here;
    const room = await rooms.take(this.pieceBytes);
    try {
      const { source, name } = this.#file;
      if ('blob' in source) return { bytes: await this.#local(source.blob, name, index), room, isNew: false };
      const known = this.#pieces.get(index);
      if (known !== undefined && !this.#readsHere) {
        const bytes = await this.#kept(known, new Uint8Array(room, 0, this.pieceBytes));
        if (bytes !== undefined) return { bytes, room, isNew: false };
      }
      const bytes = await this.#fetched(index, runEnd, new Uint8Array(room, 0, this.pieceBytes), this.#wasWhole ? known : undefined);
      if (bytes.length > 0) return { bytes, room, isNew: true };
    } catch (error) {
      rooms.give(room);
      throw error;
    }
    rooms.give(room);
    return undefined;
  }

  /** A piece that is kept and can be read at once, when its turn has come: there is one room for all of them. */
  async #inTurn(index: number, turn: Promise<void>): Promise<Piece | undefined> {
    const known = this.#pieces.get(index);
    if (known === undefined || !this.#readsHere) return undefined;
    await turn;
    if (this.#hooks.signal.aborted) throw abortError(this.#hooks.signal);
    const bytes = await this.#kept(known, (this.#keeping as Keeping).checksums.room(this.pieceBytes));
    return bytes && { bytes, room: undefined, isNew: false };
  }

  /** For a piece that there is no use for. */
  drop({ room }: Piece): void {
    if (room !== undefined) this.#hooks.rooms.give(room);
  }

  /** Keeps the piece where it is new, and gives its room back once the store needs it no more. */
  keep(index: number, piece: Piece): void {
    if (piece.room === undefined) return;
    const kept = this.#keep(index, piece).then((room) => this.#hooks.rooms.give(room));
    this.#putting.add(kept);
    void kept.then(() => this.#putting.delete(kept));
  }

  close(): void {
    this.#remote?.close();
  }

  /** Resolves when nothing is being kept any more. */
  async end(): Promise<void> {
    await this.#writer?.end(this.#keeping?.isOpen() === true);
    await Promise.all(this.#putting);
  }

  /** Whether `bytes` are what was put as that piece. */
  #isSound({ nBytes, checksum }: KeptPiece, bytes: Uint8Array): boolean {
    return nBytes === bytes.length && checksum === this.#keeping?.checksums.of(bytes);
  }

  /** What is not what was put is fetched again. */
  async #kept(piece: KeptPiece, room: Uint8Array): Promise<Uint8Array | undefined> {
    const { store, failed } = this.#keeping as Keeping;
    const { segment, at, nBytes } = piece;
    try {
      const bytes = await (isParted(store) ? store.read(segment.name, at, room.subarray(0, nBytes), this.#after(segment)) : store.get(segment.name, room));
      if (bytes !== undefined && this.#isSound(piece, bytes)) {
        this.#hooks.onBytes(bytes.length);
        return bytes;
      }
    } catch (error) {
      failed(error);
    }
    return undefined;
  }

  /** The names that will be read after that segment. One would not do: opening it takes as long as reading a few pieces. */
  #after({ first, checksums }: KeptSegment): string[] {
    const names: string[] = [];
    let index = first + checksums.length;
    while (names.length < AHEAD) {
      const next = this.#pieces.get(index)?.segment;
      if (next === undefined) break;
      names.push(next.name);
      index = next.first + next.checksums.length;
    }
    if (this.ends(index)) names.push(...(this.#keeping as Keeping).next.slice(0, AHEAD - names.length));
    return names;
  }

  /** - `former`: the piece as it was kept, whose checksum it has to have again */
  async #fetched(index: number, runEnd: number, room: Uint8Array, former: KeptPiece | undefined): Promise<Uint8Array> {
    for (let nWrong = 1; ; nWrong++) {
      const bytes = await (this.#remote as RemoteFile).read(index * this.pieceBytes, room, runEnd * this.pieceBytes);
      const wrong = (await this.#wrongHash(index, bytes)) ?? (former === undefined || this.#isSound(former, bytes) ? undefined : { at: index, needed: `of ${former.segment.name}`, found: 'another' });
      if (wrong === undefined) return bytes;
      if (nWrong >= MAX_WRONG) requireHash(this.#file, wrong.needed, wrong.found, `piece ${wrong.at}: `);
    }
  }

  /** The first hash of model.json that the bytes of piece `index` do not have. */
  async #wrongHash(index: number, bytes: Uint8Array): Promise<{ readonly at: number; readonly needed: string; readonly found: string } | undefined> {
    const { hashes } = this.#file;
    if (hashes === undefined) return undefined;
    const first = (index * this.pieceBytes) / hashes.nBytes;
    for (let i = 0; i * hashes.nBytes < bytes.length; i++) {
      const found = await sha256Hex(bytes.subarray(i * hashes.nBytes, (i + 1) * hashes.nBytes));
      const needed = hashes.sha256[first + i] as string;
      if (found !== needed) return { at: first + i, needed, found };
    }
    return undefined;
  }

  async #keep(index: number, { bytes, room, isNew }: Piece): Promise<ArrayBuffer | undefined> {
    const keeping = this.#keeping;
    if (!isNew || keeping === undefined || !keeping.isOpen()) return room;
    try {
      const damaged = this.#pieces.get(index);
      if (damaged !== undefined && this.#isSound(damaged, bytes)) return (await putAgain(damaged, bytes, keeping.store)).buffer as ArrayBuffer;
      if (damaged !== undefined) await this.#drop(damaged.segment, keeping);
      return (await (this.#writer as SegmentWriter).add(index, bytes)).buffer as ArrayBuffer;
    } catch (error) {
      keeping.failed(error);
      return undefined;
    }
  }

  /** A segment of another file than this one is now. What was handed on of it already the next load fetches. */
  async #drop(segment: KeptSegment, { store, file }: Keeping): Promise<void> {
    for (const [index, piece] of this.#pieces) if (piece.segment === segment) this.#pieces.delete(index);
    file.segments.delete(segment.first);
    await store.delete(segment.name);
  }

  async #local(blob: Blob, name: string, index: number): Promise<Uint8Array> {
    try {
      const bytes = new Uint8Array(await blob.slice(index * this.pieceBytes, (index + 1) * this.pieceBytes).arrayBuffer());
      this.#hooks.onBytes(bytes.length);
      return bytes;
    } catch (cause) {
      throw new EmbedderError('IO', `${name}: the file can no longer be read (${reasonOf(cause)})`, { cause, data: { file: name } });
    }
  }
}

/** Puts a piece that was damaged in its place. */
async function putAgain({ segment, at }: KeptPiece, bytes: Uint8Array, store: WeightStore): Promise<Uint8Array> {
  if (isParted(store)) return store.write(segment.name, at, bytes);
  await store.put(segment.name, bytes);
  return bytes;
}

function addressOf({ source, name }: PlannedFile): string {
  return 'url' in source ? source.url : name;
}

function lengthError(file: PlannedFile, found: number): EmbedderError {
  const where = addressOf(file);
  return new EmbedderError('DOWNLOAD_FAILED', `${where}: needed ${file.nBytes} bytes, found ${found}`, { data: { url: where, needed: file.nBytes, found } });
}

function requireHash(file: PlannedFile, needed: string, found: string, what = ''): void {
  if (found === needed) return;
  const where = addressOf(file);
  throw new EmbedderError('INTEGRITY', `${where}: ${what}needed SHA-256 ${needed}, found ${found}`, { data: { url: where, needed, found } });
}

/** The pieces are handed on in their order, whichever lane has them. */
class Order {
  readonly #waiting = new Map<number, () => void>();
  #next = 0;
  #isOver = false;

  /** Resolves when all before `index` were handed on, or none will be any more. */
  turnOf(index: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver || index <= this.#next) resolve();
      else this.#waiting.set(index, resolve);
    });
  }

  pass(): void {
    this.#next += 1;
    this.#waiting.get(this.#next)?.();
    this.#waiting.delete(this.#next);
  }

  end(): void {
    this.#isOver = true;
    for (const resolve of this.#waiting.values()) resolve();
    this.#waiting.clear();
  }
}

/** Lets messages that wait, an abort among them, be delivered; timers would wait for milliseconds. One channel serves a file: ports are dear. */
class Turns {
  readonly #channel = new MessageChannel();
  #resolve: () => void = () => undefined;

  constructor() {
    this.#channel.port1.onmessage = () => this.#resolve();
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#channel.port2.postMessage(0);
    });
  }

  close(): void {
    this.#channel.port1.close();
  }
}
