// The caller's options, checked once and completed.

import { EmbedderError } from '../errors.js';
import { Secrets } from './secrets.js';
import type { TransportSettings } from './transport.js';
import type { HostedFetch, HostedOptions } from './types.js';

const DEFAULT_BASE_URL = 'https://api.jina.ai/v1';
const DEFAULT_MODEL = 'jina-embeddings-v4';
/** The API's own limit for one request. */
const MAX_INPUTS = 2048;

export interface Settings {
  readonly model: string;
  readonly space: string;
  /** The base address as it may be shown. */
  readonly shownURL: string;
  readonly maxInputs: number;
  readonly batchSize: number;
  readonly batchBytes: number;
  readonly concurrency: number;
  readonly transport: TransportSettings;
}

/** Fails with `INPUT_INVALID` naming the option, or `HOSTED_KEY_EXPOSED`. No message holds a key. */
export function readSettings(options: HostedOptions, base: string | undefined): Settings {
  if (typeof options !== 'object' || options === null) throw invalid('hosted', 'must be an object');
  const { apiKey, model = DEFAULT_MODEL, space, headers = {} } = options;
  if (typeof model !== 'string' || model === '') throw invalid('hosted.model', 'must be the name of a model');
  if (space !== undefined && (typeof space !== 'string' || space === '')) throw invalid('hosted.space', 'must be a name');
  if (apiKey !== undefined && (typeof apiKey !== 'string' || !/^[\x21-\x7e]+$/.test(apiKey))) {
    throw invalid('hosted.apiKey', 'must be a string of printable ASCII characters without spaces');
  }
  if (options.fetch !== undefined && typeof options.fetch !== 'function') throw invalid('hosted.fetch', 'must be a function');
  const sent = readHeaders(headers, apiKey);
  refuseExposedKey(apiKey !== undefined || Object.keys(headers).some((name) => name.toLowerCase() === 'authorization'), options.dangerouslyAllowBrowser === true);
  const url = readBaseURL(options.baseURL ?? DEFAULT_BASE_URL, base);
  return {
    model,
    space: space ?? `hosted/${model}`,
    shownURL: `${url.origin}${url.pathname}`,
    maxInputs: MAX_INPUTS,
    batchSize: whole('batchSize', options.batchSize ?? 256, 1, MAX_INPUTS),
    batchBytes: whole('batchBytes', options.batchBytes ?? 16 << 20, 1, Number.MAX_SAFE_INTEGER),
    concurrency: whole('concurrency', options.concurrency ?? 4, 1, 1000),
    transport: {
      url: endpointOf(url),
      headers: sent,
      // Asked for at each call, so that what a page puts in its place later is heard of.
      fetch: options.fetch ?? ((address: string, init: Parameters<HostedFetch>[1]) => fetch(address, init)),
      timeoutMs: whole('timeout', options.timeout ?? 60_000, 1, 2 ** 31 - 1),
      maxRetries: whole('maxRetries', options.maxRetries ?? 2, 0, 100),
      secrets: new Secrets(apiKey === undefined ? [] : [apiKey], [...Object.values(headers), ...url.searchParams.values()]),
    },
  };
}

function invalid(option: string, needed: string): EmbedderError {
  return new EmbedderError('INPUT_INVALID', `option \`${option}\` ${needed}`);
}

function whole(option: string, value: number, least: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw invalid(`hosted.${option}`, `must be a whole number from ${least} to ${most}, not ${String(value)}`);
}

function readHeaders(headers: Readonly<Record<string, string>>, apiKey: string | undefined): Record<string, string> {
  const own = { accept: 'application/json', 'content-type': 'application/json', ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }) };
  try {
    const all = new Headers(own);
    for (const [name, value] of Object.entries(headers)) all.set(name, value);
    return Object.fromEntries(all);
  } catch {
    // What `Headers` throws repeats the value.
    throw invalid('hosted.headers', 'holds a name or a value that no HTTP header may have');
  }
}

function readBaseURL(given: string | URL, base: string | undefined): URL {
  const text = String(given);
  if (!URL.canParse(text, base)) throw invalid('hosted.baseURL', `must be an address: ${JSON.stringify(text)} is none`);
  const url = new URL(text, base);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid('hosted.baseURL', `must be an address of http: or https:, not ${url.protocol}`);
  if (url.username !== '' || url.password !== '') throw invalid('hosted.baseURL', 'must hold no user name and no password: use `headers`');
  return url;
}

function endpointOf(base: URL): string {
  const url = new URL(base);
  url.hash = '';
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/embeddings`;
  return url.href;
}

/** Every browser calls itself Mozilla, also in its workers; Node, Deno, Bun and workerd do not. */
function isBrowser(): boolean {
  if (typeof document !== 'undefined') return true;
  const agent = (globalThis as { navigator?: { userAgent?: unknown } }).navigator?.userAgent;
  return typeof agent === 'string' && agent.startsWith('Mozilla/');
}

function refuseExposedKey(hasKey: boolean, allowed: boolean): void {
  if (!hasKey || allowed || !isBrowser()) return;
  throw new EmbedderError(
    'HOSTED_KEY_EXPOSED',
    'A key in a page can be read by every visitor. Let `hosted.baseURL` be the address of your own server, which adds the key; or, where the page is for you alone, set `dangerouslyAllowBrowser: true`',
  );
}
