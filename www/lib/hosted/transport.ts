// One request, with its retries:
//
//   attempt ─► success ─► body
//      ▲   └─► 408, 409, 429, 5xx, timeout, broken connection
//      └── wait: what the server asks for, else 0.5 s doubling to 8 s, less up to a quarter by chance
//
// Each attempt has its own timeout, which the body counts towards. An abort ends whatever is under way.

import { abortError, EmbedderError, reasonOf } from '../errors.js';
import { isRetryable, readRefusal, refusalError } from './failure.js';
import type { Secrets } from './secrets.js';
import type { HostedFetch } from './types.js';

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;
/** A server that asks for a longer wait is not asked again within the call: the error says how long. */
const MAX_ASKED_DELAY_MS = 60_000;

/** Time and chance, which tests replace. */
export interface Clock {
  now(): number;
  random(): number;
  /** Rejects with an `AbortError` as soon as the signal says so. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const realClock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const ended = (): void => {
        clearTimeout(timer);
        reject(abortError(signal));
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', ended);
        resolve();
      }, ms);
      signal.addEventListener('abort', ended, { once: true });
    }),
};

export interface TransportSettings {
  /** The address that requests go to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: HostedFetch;
  readonly timeoutMs: number;
  readonly maxRetries: number;
  readonly secrets: Secrets;
}

export interface Reply {
  readonly body: string;
  readonly requestId: string | undefined;
}

/** What one attempt came to. */
type Outcome = { readonly reply: Reply } | { readonly error: (attempts: number) => EmbedderError; readonly retryable: boolean; readonly askedMs: number | undefined };

export class Transport {
  readonly #settings: TransportSettings;
  readonly #clock: Clock;

  constructor(settings: TransportSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /**
   * Posts `body` and returns the body of the success.
   *
   * Fails with `HOSTED_*` or an `AbortError`.
   */
  async post(body: string, signal: AbortSignal): Promise<Reply> {
    const { maxRetries } = this.#settings;
    for (let attempt = 1; ; attempt += 1) {
      if (signal.aborted) throw abortError(signal);
      const outcome = await this.#attempt(body, signal);
      if ('reply' in outcome) return outcome.reply;
      const { retryable, askedMs } = outcome;
      if (!retryable || attempt > maxRetries || (askedMs ?? 0) > MAX_ASKED_DELAY_MS) throw outcome.error(attempt);
      await this.#clock.sleep(askedMs ?? this.#backoff(attempt), signal);
    }
  }

  #backoff(attempt: number): number {
    const delay = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), MAX_DELAY_MS);
    return delay * (1 - this.#clock.random() / 4);
  }

  async #attempt(body: string, signal: AbortSignal): Promise<Outcome> {
    const { url, headers, fetch, timeoutMs, secrets } = this.#settings;
    const controller = new AbortController();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      controller.abort();
    }, timeoutMs);
    const aborted = (): void => controller.abort(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    try {
      const response = await settled(fetch(url, { method: 'POST', headers, body, signal: controller.signal }), controller.signal);
      const text = await settled(response.text(), controller.signal);
      const headerId = response.headers.get('x-request-id') ?? undefined;
      const requestId = headerId === undefined ? undefined : secrets.redact(headerId);
      if (response.status >= 200 && response.status < 300) return { reply: { body: text, requestId } };
      const refusal = readRefusal(response.status, text, requestId, secrets);
      const askedMs = this.#askedDelay(response.headers);
      return { error: (attempts) => refusalError(refusal, attempts, askedMs), retryable: isRetryable(response.status, refusal.code), askedMs };
    } catch (thrown) {
      if (signal.aborted) throw abortError(signal);
      const cause = secrets.cause(thrown);
      const after = (attempts: number): string => (attempts > 1 ? ` (after ${attempts} attempts)` : '');
      const error = (attempts: number): EmbedderError =>
        timedOut
          ? new EmbedderError('HOSTED_TIMEOUT', `The hosted API did not answer within ${timeoutMs} ms${after(attempts)}`, { data: { timeoutMs, attempts } })
          : new EmbedderError('HOSTED_UNREACHABLE', `The hosted API could not be reached: ${reasonOf(cause)}${after(attempts)}`, { cause, data: { attempts } });
      return { error, retryable: true, askedMs: undefined };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
    }
  }

  /** `retry-after-ms`, or `retry-after` in seconds or as a date. */
  #askedDelay(headers: Headers): number | undefined {
    const ms = headers.get('retry-after-ms');
    const stated = headers.get('retry-after');
    const asked = ms !== null ? Number.parseFloat(ms) : stated === null ? NaN : /^\s*[\d.]+\s*$/.test(stated) ? Number.parseFloat(stated) * 1000 : Date.parse(stated) - this.#clock.now();
    return Number.isFinite(asked) ? Math.max(0, asked) : undefined;
  }
}

/** The promise, or a rejection once the signal says so: a caller's `fetch` may not heed its signal. */
function settled<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(abortError(signal));
    if (signal.aborted) ended();
    signal.addEventListener('abort', ended, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', ended));
  });
}
