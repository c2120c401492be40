// Files of a real HTTP server that knows ranges and ETags, and breaks where a test tells it to.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { sha256, type Answer } from './model-server.js';

/** What is wrong with one answer. */
export interface Fault {
  /** The connection breaks after so many bytes of the body. */
  readonly cutAfter?: number;
  readonly status?: number;
  /** The body, and the length it states, end after so many bytes. */
  readonly shortTo?: number;
  /** A byte of the body at this place is another one. */
  readonly flip?: number;
  readonly redirectTo?: string;
}

export interface Asked {
  readonly method: string;
  /** First byte and the one after the last, where a range was asked for. */
  readonly range: readonly [number, number] | undefined;
}

export interface RangeOptions {
  /** Told of each request, in order; what it returns goes wrong with the answer. */
  readonly fault?: (asked: Asked, n: number) => Fault | undefined;
  readonly etag?: string | null;
  /** `false`: the whole file, whatever is asked for. */
  readonly ranges?: boolean;
  readonly head?: boolean;
  /** The most bytes of a range that are given at once. */
  readonly mostBytes?: number;
}

export function ranged(bytes: Uint8Array, { fault, etag = `"${sha256(bytes).slice(0, 8)}"`, ranges = true, head = true, mostBytes = Infinity }: RangeOptions = {}): Answer {
  let n = 0;
  return (request: IncomingMessage, response: ServerResponse): void => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const asked = first === undefined ? undefined : ([Number(first), Number(last) + 1] as const);
    const wrong = fault?.({ method: request.method ?? '', range: asked }, n++) ?? {};
    if (request.method === 'HEAD' && !head) return void response.writeHead(405).end();
    if (wrong.status !== undefined) return void response.writeHead(wrong.status).end();
    if (wrong.redirectTo !== undefined) return void response.writeHead(302, { location: wrong.redirectTo }).end();
    const range = ranges ? asked : undefined;
    if (range !== undefined && range[0] >= bytes.length) return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    const [start, end] = range === undefined ? [0, bytes.length] : [range[0], Math.min(range[1], range[0] + mostBytes, bytes.length)];
    let body = bytes.subarray(start, end);
    if (wrong.flip !== undefined) {
      body = body.slice();
      body[wrong.flip % body.length] = (body[wrong.flip % body.length] as number) ^ 1;
    }
    if (wrong.shortTo !== undefined) body = body.subarray(0, wrong.shortTo);
    response.writeHead(range === undefined ? 200 : 206, {
      'content-length': body.length,
      ...(etag === null ? {} : { etag }),
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    if (request.method === 'HEAD') return void response.end();
    if (wrong.cutAfter === undefined) return void response.end(body);
    response.write(body.subarray(0, wrong.cutAfter), () => response.destroy());
  };
}
