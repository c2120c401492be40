// Opens an address and reads its bytes piece by piece, whoever does the fetching. Every failure on the
// way names the address.

import { abortError, EmbedderError, isAbortError, reasonOf } from './errors.js';
import type { Fetch } from './types.js';
import type { FetchHead } from './worker/protocol.js';

/** An open response. */
export interface OpenBody {
  readonly head: FetchHead;
  /** The next bytes, which are valid until the next read; or `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Gives up the rest. */
  cancel(): void;
}

/** What is wanted of an address, where it is not all of it. */
export interface OpenOptions {
  /** Bytes from `start` up to `end`, without `end`. A server may ignore it. */
  readonly range?: { readonly start: number; readonly end: number } | undefined;
  /** Keep it out of the browser's HTTP cache, since it is kept elsewhere. */
  readonly unstored?: boolean | undefined;
}

/** Opens an address: the page's own `fetch`, the caller's, or the page's asked from a worker. */
export type OpenUrl = (url: string, method: 'GET' | 'HEAD', signal: AbortSignal, options?: OpenOptions) => Promise<OpenBody>;

/** Opens addresses with `fetch` or what stands in for it. */
export function openWith(fetch: Fetch): OpenUrl {
  return async (url, method, signal, { range, unstored } = {}) => {
    const init = {
      signal,
      method,
      ...(range === undefined ? {} : { headers: { range: `bytes=${range.start}-${range.end - 1}` } }),
      ...(unstored === true ? { cache: 'no-store' as const } : {}),
    };
    const response = await failingAs(url, signal, () => fetch(url, init));
    const { headers } = response;
    const header = (name: string): string | null => headers.get(name);
    return {
      head: {
        status: response.status,
        statusText: response.statusText,
        contentLength: header('content-length'),
        contentRange: header('content-range'),
        etag: header('etag'),
        lastModified: header('last-modified'),
      },
      ...readerOf(response.body, (read) => failingAs(url, signal, read)),
    };
  };
}

/** Buffers that were read into, for the next response. */
const rooms: ArrayBuffer[] = [];
const ROOM_BYTES = 1 << 18;
const MAX_ROOMS = 4;

/** Reads into one buffer over and over where the browser can: a new one for each chunk takes twice the time. */
function readerOf(body: ReadableStream<Uint8Array> | null, guarded: <T>(read: () => Promise<T>) => Promise<T>): Pick<OpenBody, 'read' | 'cancel'> {
  if (body === null) return { read: async () => undefined, cancel: () => undefined };
  let byob: ReadableStreamBYOBReader | undefined;
  let plain: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let room: ArrayBuffer | undefined;
  const start = (): void => {
    try {
      byob = body.getReader({ mode: 'byob' });
    } catch {
      plain = body.getReader(); // a stream that somebody made, or a browser without
    }
  };
  return {
    read: async () => {
      if (byob === undefined && plain === undefined) start();
      if (plain !== undefined) {
        const { done, value } = await guarded(() => (plain as NonNullable<typeof plain>).read());
        return done ? undefined : value;
      }
      const view = new Uint8Array(room ?? rooms.pop() ?? new ArrayBuffer(ROOM_BYTES));
      room = undefined;
      const { done, value } = await guarded(() => (byob as NonNullable<typeof byob>).read(view));
      room = value?.buffer as ArrayBuffer | undefined;
      if (!done) return value;
      if (room !== undefined && rooms.length < MAX_ROOMS) rooms.push(room);
      room = undefined;
      return undefined;
    },
    cancel: () => void (byob ?? plain ?? body).cancel().catch(() => undefined),
  };
}

async function failingAs<T>(url: string, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  if (signal.aborted) throw abortError(signal);
  try {
    return await run();
  } catch (cause) {
    if (signal.aborted || isAbortError(cause)) throw abortError(signal);
    throw new EmbedderError('DOWNLOAD_FAILED', `${url}: ${reasonOf(cause)}`, { cause, data: { url } });
  }
}

/** Fails with `DOWNLOAD_FAILED` naming address and status unless the response is a success. */
export function requireOk(url: string, body: OpenBody): void {
  const { status, statusText } = body.head;
  if (status >= 200 && status < 300) return;
  body.cancel();
  const found = statusText === '' ? `${status}` : `${status} ${statusText}`;
  throw new EmbedderError('DOWNLOAD_FAILED', `${url}: needed a successful response, found status ${found}`, { data: { url, status } });
}

/** The size a response states, where it states one. */
export function statedSize(body: OpenBody): number | undefined {
  const { contentLength } = body.head;
  const nBytes = contentLength === null || contentLength.trim() === '' ? NaN : Number(contentLength);
  return Number.isSafeInteger(nBytes) && nBytes >= 0 ? nBytes : undefined;
}

/** Which part of the file a response is; `total` where the server tells it, and lets other origins read it. */
export function contentRange(body: OpenBody): { readonly start: number; readonly end: number; readonly total: number | undefined } | undefined {
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(body.head.contentRange ?? '') ?? [];
  if (first === undefined) return undefined;
  return { start: Number(first), end: Number(last) + 1, total: total === '*' ? undefined : Number(total) };
}

/** Reads a small file whole; `maxBytes` bounds what is held. */
export async function readWhole(url: string, open: OpenUrl, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const body = await open(url, 'GET', signal);
  requireOk(url, body);
  const chunks: Uint8Array[] = [];
  let nBytes = 0;
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    nBytes += chunk.length;
    if (nBytes > maxBytes) {
      body.cancel();
      throw new EmbedderError('DOWNLOAD_FAILED', `${url}: needed at most ${maxBytes} bytes, found more`, { data: { url, needed: maxBytes, found: nBytes } });
    }
    chunks.push(chunk.slice());
  }
  const whole = new Uint8Array(nBytes);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
