// A real HTTP server for model directories, with the ways in which real ones misbehave.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ModelServer {
  readonly url: string;
  readonly requests: string[];
  /** Requests whose client went away before the answer was whole. */
  readonly cancelled: string[];
  close(): Promise<void>;
}

export type Answer = Uint8Array | string | ((request: IncomingMessage, response: ServerResponse) => void);

export async function serveFiles(files: Readonly<Record<string, Answer>>): Promise<ModelServer> {
  const requests: string[] = [];
  const cancelled: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://server').pathname.slice(1));
    requests.push(`${request.method} ${path}`);
    response.on('close', () => {
      if (!response.writableFinished) cancelled.push(path);
    });
    const answer = files[path];
    if (answer === undefined) return void response.writeHead(404).end('no such file');
    if (typeof answer === 'function') return answer(request, response);
    const body = typeof answer === 'string' ? Buffer.from(answer) : answer;
    response.writeHead(200, { 'content-length': body.length });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    cancelled,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes that differ from place to place, so that a mix-up shows. */
export const bytesOf = (length: number, seed = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) % 251);

/** A model directory: two text parts, vision, projector and an adapter, listed out of their loading order. */
export function modelDirectory(changes: Readonly<Record<string, unknown>> = {}): Record<string, Uint8Array | string> {
  const parts = {
    'adapter-retrieval.gguf': { role: 'adapter', task: 'retrieval', bytes: bytesOf(300, 5) },
    'text-00001-of-00002.gguf': { role: 'text', bytes: bytesOf(1_500_000, 1) },
    'text-00002-of-00002.gguf': { role: 'text', bytes: bytesOf(1000, 2) },
    'projector.gguf': { role: 'projector', bytes: bytesOf(200, 4) },
    'vision.gguf': { role: 'vision', bytes: bytesOf(5000, 3) },
  };
  const files = Object.entries(parts).map(([path, { bytes, ...entry }]) => ({ path, ...entry, n_bytes: bytes.length, sha256: sha256(bytes) }));
  const manifest = { format: 'jina-embeddings-web', format_version: 1, name: 'tiny', licence: 'CC BY-NC 4.0', space: 'tiny/q4_0/q8_0/abc', files, ...changes };
  return { 'model.json': JSON.stringify(manifest), ...Object.fromEntries(Object.entries(parts).map(([path, { bytes }]) => [path, bytes])) };
}
