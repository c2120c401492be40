// One file at an address, read in pieces that several requests fetch at once:
//
//   206   the server knows ranges: a request covers a run of pieces, which are cut from it in turn
//   200   it does not: one body, from which the pieces are cut in turn
//
// A request that breaks is made again from the byte where it broke, after a pause that doubles. What a
// server says no to (404, 403) is not asked twice, but for the statuses that ask for it.

import { abortError, EmbedderError, isEmbedderError } from '../errors.js';
import { contentRange, requireOk, type OpenBody, type OpenUrl } from '../fetch-body.js';

/** Failures in a row, with no progress in between, after which a file is given up. */
const MAX_FAILURES = 5;
/** Less than this is no progress: a server that breaks at every byte would be asked for ever. */
const PROGRESS_BYTES = 1 << 16;
const AGAIN_STATUSES: readonly unknown[] = [408, 425, 429, 500, 502, 503, 504];

export interface RemoteHooks {
  readonly open: OpenUrl;
  readonly signal: AbortSignal;
  /** Before the first attempt to go on; each further one waits twice as long. */
  readonly retryPauseMs: number;
  /** Keep the bytes out of the browser's HTTP cache. */
  readonly unstored: boolean;
  /** Servers that were seen to know ranges: their next file is asked for in several pieces at once from the start. */
  readonly rangeOrigins: Set<string>;
  /** So many more bytes have arrived. */
  onBytes(nBytes: number): void;
}

/** A response under way. */
interface Body {
  readonly answer: OpenBody;
  /** It holds the file from its beginning, and serves one piece after the other. */
  readonly isWhole: boolean;
  /** Where in the file it begins, and, of a range, where it ends. */
  readonly start: number;
  readonly end: number;
  /** Place in the file of the next byte. */
  position: number;
  /** Bytes that were read, and belong to a later piece. */
  rest: Uint8Array | undefined;
}

export class RemoteFile {
  readonly url: string;
  readonly #hooks: RemoteHooks;
  #nBytes: number | undefined;
  /** Reads that take turns: all from a server that ignores ranges, and the first from any. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #rangesSeen: Promise<void>;
  #seeRanges: () => void = () => undefined;
  /** The server has answered with a range. */
  #hasRanges = false;
  /** What pieces are cut from in turn. */
  #whole: Body | undefined;
  /** Ranges that hold more than was read of them yet, by the place of their next byte. */
  readonly #runs = new Map<number, Body>();

  /** `nBytes`: where it is known for sure. */
  constructor(url: string, nBytes: number | undefined, hooks: RemoteHooks) {
    this.url = url;
    this.#nBytes = nBytes;
    this.#hooks = hooks;
    this.#rangesSeen = new Promise((resolve) => (this.#seeRanges = resolve));
    if (nBytes !== undefined && this.hasRanges) this.#seeRanges();
  }

  /** `undefined` until a server tells. */
  get nBytes(): number | undefined {
    return this.#nBytes;
  }

  /** Whether its server is known to answer with ranges. */
  get hasRanges(): boolean {
    return this.#hasRanges || this.#hooks.rangeOrigins.has(new URL(this.url).origin);
  }

  /**
   * Reads from `start` on, as many bytes as `room` holds or the file has, into `room`.
   *
   * - `runEnd`: up to where the caller will read on from there, so that one request does for all of it
   *
   * Fails with `DOWNLOAD_FAILED` naming the address and what the server did, or an `AbortError`.
   */
  read(start: number, room: Uint8Array, runEnd = start + room.length): Promise<Uint8Array> {
    const mine = this.#turn.then(() => {
      const reading = this.#read(start, room, runEnd);
      // In an object, since a bare promise would be waited for here.
      return { reading, passes: Promise.race([this.#rangesSeen, reading.then(() => undefined, () => undefined)]) };
    });
    this.#turn = mine.then(({ passes }) => passes);
    return mine.then(({ reading }) => reading);
  }

  /** Gives up what is open. */
  close(): void {
    this.#whole?.answer.cancel();
    this.#whole = undefined;
    for (const { answer } of this.#runs.values()) answer.cancel();
    this.#runs.clear();
  }

  async #read(start: number, room: Uint8Array, runEnd: number): Promise<Uint8Array> {
    const { signal, retryPauseMs } = this.#hooks;
    const piece = { start, room, runEnd, filled: 0 };
    for (let failures = 0, filledAtFailure = 0; ; ) {
      try {
        while (piece.filled < this.#wanted(piece)) if (!(await this.#continue(piece))) break;
        return room.subarray(0, piece.filled);
      } catch (error) {
        this.#whole?.answer.cancel();
        this.#whole = undefined;
        if (signal.aborted) throw abortError(signal);
        if (piece.filled - filledAtFailure >= PROGRESS_BYTES) failures = 0;
        filledAtFailure = piece.filled;
        failures += 1;
        if (!mayPass(error) || failures >= MAX_FAILURES) throw error;
        await pause(retryPauseMs * 2 ** (failures - 1), signal);
      }
    }
  }

  #wanted({ start, room }: Piece): number {
    return Math.min(room.length, Math.max(0, (this.#nBytes ?? Infinity) - start));
  }

  /** Fills the piece from one response, to its end or the response's. `false`: the file is over. */
  async #continue(piece: Piece): Promise<boolean> {
    const at = piece.start + piece.filled;
    const open = this.#whole !== undefined && this.#whole.position <= at ? this.#whole : this.#runs.get(at);
    const end = Math.max(piece.start + this.#wanted(piece), Math.min(piece.runEnd, this.#nBytes ?? 0));
    const body = open ?? (await this.#request(at, end));
    if (body === undefined) return false;
    this.#runs.delete(at);
    try {
      for (;;) {
        const chunk = body.rest ?? (await body.answer.read());
        body.rest = undefined;
        if (chunk === undefined) return this.#ended(body, at);
        const nSkipped = Math.min(chunk.length, Math.max(0, at - body.position));
        const nTaken = Math.min(chunk.length - nSkipped, this.#wanted(piece) - piece.filled);
        piece.room.set(chunk.subarray(nSkipped, nSkipped + nTaken), piece.filled);
        piece.filled += nTaken;
        body.position += nSkipped + nTaken;
        this.#hooks.onBytes(nTaken);
        const rest = chunk.subarray(nSkipped + nTaken);
        if (rest.length > 0) body.rest = rest;
        if (piece.filled === this.#wanted(piece)) break;
      }
      await this.#leave(body);
      return true;
    } catch (error) {
      body.answer.cancel();
      throw error;
    }
  }

  /** The piece is complete. Reads on to the end of a response that holds no more, so that its connection is free. */
  async #leave(body: Body): Promise<void> {
    if (body.isWhole && body.position !== this.#nBytes) return;
    if (!body.isWhole && body.position < body.end && !this.#runs.has(body.position)) return void this.#runs.set(body.position, body);
    if (body.isWhole) this.#whole = undefined;
    const surplus = body.rest ?? (await body.answer.read());
    if (surplus === undefined) return;
    body.answer.cancel();
    if (body.isWhole) throw this.#lengthError(body.position + surplus.length);
  }

  /** A response ended before the piece was full. Returns whether there is more to ask for. */
  #ended(body: Body, at: number): boolean {
    if (!body.isWhole) {
      // A server may give less than was asked for, and be asked for the rest; but it must give something.
      if (body.position > body.start) return true;
      throw this.#failure(`needed the bytes from ${at} on, found none`, { needed: at, found: 0 });
    }
    this.#whole = undefined;
    // A connection that breaks is an error of its own: this is where the server's file ends.
    if (this.#nBytes !== undefined) throw this.#lengthError(body.position);
    this.#nBytes = body.position;
    return false;
  }

  /** A response with the file from `start` on, or from its beginning. `undefined` where the file ends before. */
  async #request(start: number, end: number): Promise<Body | undefined> {
    const { open, signal, unstored, rangeOrigins } = this.#hooks;
    const isAll = start === 0 && end === this.#nBytes;
    const answer = await open(this.url, 'GET', signal, { ...(isAll ? {} : { range: { start, end } }), unstored });
    if (answer.head.status === 416 && this.#nBytes === undefined) {
      answer.cancel();
      this.#nBytes = start;
      return undefined;
    }
    requireOk(this.url, answer);
    if (answer.head.status !== 206) {
      // After an answer with a range this is one server of several: its answer serves this piece alone.
      const isWhole = isAll || !this.#hasRanges;
      const body = { answer, isWhole, start: 0, end: 0, position: 0, rest: undefined };
      if (!isWhole) return body;
      rangeOrigins.delete(new URL(this.url).origin);
      this.close();
      return (this.#whole = body);
    }
    const range = contentRange(answer);
    const problem = range === undefined ? undefined : this.#contradiction(range, start);
    if (problem !== undefined) {
      answer.cancel();
      throw problem;
    }
    this.#nBytes ??= range?.total;
    // Where the size is not known, the end is found by asking for one piece after the other.
    if (this.#nBytes !== undefined && !this.#hasRanges) {
      this.#hasRanges = true;
      this.#seeRanges();
      rangeOrigins.add(new URL(this.url).origin);
    }
    return { answer, isWhole: false, start, end: Math.min(end, range?.end ?? end), position: start, rest: undefined };
  }

  #contradiction({ start, total }: { readonly start: number; readonly total: number | undefined }, needed: number): EmbedderError | undefined {
    if (start !== needed) return this.#failure(`needed the bytes from ${needed} on, found those from ${start} on`, { needed, found: start });
    return total === undefined || this.#nBytes === undefined || total === this.#nBytes ? undefined : this.#lengthError(total);
  }

  /** The server's file has another length than it must have; it would have it again. */
  #lengthError(found: number): EmbedderError {
    const needed = this.#nBytes;
    return this.#failure(`needed ${needed} bytes, found ${found > (needed ?? 0) ? 'more' : found}`, { needed, found }, false);
  }

  #failure(what: string, data: Record<string, unknown>, mayPass = true): EmbedderError {
    const error = new EmbedderError('DOWNLOAD_FAILED', `${this.url}: ${what}`, { data: { url: this.url, ...data } });
    if (!mayPass) final.add(error);
    return error;
  }
}

interface Piece {
  readonly start: number;
  readonly room: Uint8Array;
  readonly runEnd: number;
  filled: number;
}

/** Failures that another attempt would end in, too. */
const final = new WeakSet<EmbedderError>();

/** Whether the same request may succeed when it is made again. */
function mayPass(error: unknown): boolean {
  if (!isEmbedderError(error) || error.code !== 'DOWNLOAD_FAILED' || final.has(error)) return false;
  const { status } = error.data;
  return status === undefined || AGAIN_STATUSES.includes(status);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal));
    const abandon = (): void => {
      clearTimeout(timer);
      reject(abortError(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abandon);
      resolve();
    }, ms);
    signal.addEventListener('abort', abandon, { once: true });
  });
}
