// Opens an address and reads its bytes piece by piece, whoever does the fetching. Every failure on the
// way names the address.

import { abortError, EmbedderError, isAbortError, reasonOf } from './errors.js';
import type { Fetch } from './types.js';
import type { FetchHead } from './worker/protocol.js';

/** An open response. */
export interface OpenBody {
  readonly head: FetchHead;
  /** The next bytes, or `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Gives up the rest. */
  cancel(): void;
}

/** Opens an address: the page's own `fetch`, the caller's, or the page's asked from a worker. */
export type OpenUrl = (url: string, method: 'GET' | 'HEAD', signal: AbortSignal) => Promise<OpenBody>;

/** Opens addresses with `fetch` or what stands in for it. */
export function openWith(fetch: Fetch): OpenUrl {
  return async (url, method, signal) => {
    const response = await failingAs(url, signal, () => fetch(url, { signal, method }));
    const reader = response.body?.getReader();
    return {
      head: { status: response.status, statusText: response.statusText, contentLength: response.headers.get('content-length') },
      read: async () => {
        if (reader === undefined) return undefined;
        const { done, value } = await failingAs(url, signal, () => reader.read());
        return done ? undefined : value;
      },
      cancel: () => void reader?.cancel().catch(() => undefined),
    };
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
    chunks.push(chunk);
  }
  const whole = new Uint8Array(nBytes);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
