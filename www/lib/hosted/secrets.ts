// Keeps the key, and the values of the caller's headers, out of everything that leaves this client but
// the request itself. Servers repeat keys in their messages, `fetch` repeats header values in its errors,
// and a caller's `fetch` may attach the whole request to what it throws.

import { isRecord, reasonOf } from '../errors.js';

/** Shorter header values say nothing worth hiding, and would blot out parts of words. */
const MIN_SECRET_LENGTH = 8;
const HIDDEN = '[redacted]';

export class Secrets {
  readonly #values: readonly string[];

  /** `sure` is hidden whatever its length. The longest first, since one may hold another. */
  constructor(sure: readonly string[], others: readonly string[] = []) {
    const values = [...sure.filter((value) => value !== ''), ...others.filter((value) => value.length >= MIN_SECRET_LENGTH)];
    const forms = values.flatMap((value) => [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)]);
    this.#values = [...new Set(forms)].sort((a, b) => b.length - a.length);
  }

  redact(text: string): string {
    return this.#values.reduce((redacted, value) => redacted.replaceAll(value, HIDDEN), text);
  }

  /** A thrown value as a plain error that holds its name, message and stack, redacted, and nothing else of it. */
  cause(thrown: unknown): Error {
    const inner = isRecord(thrown) && thrown['cause'] !== undefined ? `: ${reasonOf(thrown['cause'])}` : '';
    const error = new Error(this.redact(`${reasonOf(thrown)}${inner}`));
    if (isRecord(thrown)) {
      if (typeof thrown['name'] === 'string') error.name = this.redact(thrown['name']);
      if (typeof thrown['stack'] === 'string') error.stack = this.redact(thrown['stack']);
    }
    return error;
  }
}
