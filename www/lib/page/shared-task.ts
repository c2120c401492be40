import { abortError } from '../errors.js';

/** Work that several callers wait for: begun with the first, cancelled when none is left. */
export class SharedTask<T> {
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  #waiting = 0;

  constructor(run: (signal: AbortSignal) => Promise<T>) {
    this.#result = run(this.#controller.signal);
    // A caller that left does not hear of the failure, which is no uncaught one for that.
    this.#result.catch(() => undefined);
  }

  /** The result; or an `AbortError` as soon as this caller's signal says so. */
  wait(signal?: AbortSignal): Promise<T> {
    this.#waiting += 1;
    return unlessAborted(this.#result, signal).finally(() => {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#controller.abort();
    });
  }

  cancel(): void {
    this.#controller.abort();
  }
}

/** What `promise` settles to, or an `AbortError` as soon as the signal says so. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abandon = (): void => reject(abortError(signal));
    if (signal.aborted) return abandon();
    signal.addEventListener('abort', abandon, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abandon));
  });
}
