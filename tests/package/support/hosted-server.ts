// A real HTTP server that speaks `/v1/embeddings` as the API's description says, and misbehaves where a
// test scripts it. A text becomes a vector that tells which text it was.

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ApiRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, any>;
}

/** Answers one request in place of the API; `undefined` lets the API answer. */
export type Script = (response: ServerResponse, request: ApiRequest, attempt: number) => unknown;

export interface HostedServer {
  /** What `baseURL` is to be. */
  readonly url: string;
  readonly requests: ApiRequest[];
  /** Requests under way, and the most there were at a time. */
  readonly load: { now: number; most: number };
  script: Script | undefined;
  close(): Promise<void>;
}

export async function hostedServer(script?: Script): Promise<HostedServer> {
  const requests: ApiRequest[] = [];
  const load = { now: 0, most: 0 };
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    load.now += 1;
    load.most = Math.max(load.most, load.now);
    response.on('close', () => (load.now -= 1));
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const request = { path: `${incoming.method} ${incoming.url}`, headers: incoming.headers, body: JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, any> };
      requests.push(request);
      const scripted = hosted.script?.(response, request, requests.length);
      if (scripted === undefined) json(response, 200, answer(request.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const hosted: HostedServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    load,
    script,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return hosted;
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): true {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
  return true;
}

/** Answers with `status` until the attempt `until`, and as the API does from then on. */
export const failing = (status: number, body: unknown, headers: Record<string, string> = {}, until = Infinity): Script =>
  (response, _request, attempt) => (attempt < until ? json(response, status, body, headers) : undefined);

export const DEFAULT_DIMENSIONS = 8;

/** What the API answers. */
export function answer(body: Record<string, any>): Record<string, unknown> {
  const inputs: unknown[] = Array.isArray(body['input']) ? body['input'] : [body['input']];
  const pages = inputs.flatMap((input) => (isPdf(input) ? ['page 1', 'page 22'] : [input]));
  const tokens = pages.reduce<number>((sum, input) => sum + nameOf(input).length, 0);
  return {
    model: body['model'],
    object: 'list',
    usage: { total_tokens: tokens + 1, prompt_tokens: tokens },
    data: pages.map((input, index) => entry(body, nameOf(input), index)),
  };
}

function entry(body: Record<string, any>, name: string, index: number): Record<string, unknown> {
  const dimensions: number = body['dimensions'] ?? DEFAULT_DIMENSIONS;
  const form = (values: readonly number[]): unknown => {
    const types: unknown = body['embedding_type'] ?? 'float';
    return Array.isArray(types) ? Object.fromEntries(types.map((type: string) => [type, encoded(values, type)])) : encoded(values, types as string);
  };
  if (body['return_multivector'] !== true) return { object: 'embedding', index, embedding: form(vectorOf(name, dimensions)) };
  return {
    object: 'embeddings',
    index,
    embeddings: [...name].map((_, i) => form(vectorOf(name, dimensions).map((value) => value + i))),
    ...(body['return_tokenized_input'] === true ? { tokenized_input: [...name] } : {}),
  };
}

/** The name's length, then ones and minus ones. */
export const vectorOf = (name: string, dimensions = DEFAULT_DIMENSIONS): number[] => Array.from({ length: dimensions }, (_, i) => (i === 0 ? name.length : i % 3 === 0 ? -1 : 1));

function encoded(values: readonly number[], type: string): unknown {
  if (type === 'float') return values;
  if (type === 'base64') return Buffer.from(Float32Array.from(values).buffer).toString('base64');
  const bytes = Array.from({ length: Math.ceil(values.length / 8) }, (_, byte) => Array.from({ length: 8 }, (_, bit) => ((values[byte * 8 + bit] ?? 0) > 0 ? 128 >> bit : 0)).reduce((sum, value) => sum + value, 0));
  return type === 'ubinary' ? bytes : bytes.map((byte) => byte - 128);
}

const isPdf = (input: unknown): boolean => typeof input === 'object' && input !== null && 'pdf' in input;

export function nameOf(input: unknown): string {
  if (typeof input === 'string') return input;
  const { text, image } = input as { text?: string; image?: string };
  return text ?? image ?? '';
}
