// A lost device or a Rust panic can leave a promise of the wasm face pending for ever, and reads after a
// GPU error return stale numbers. So every call into the face goes through a guard: it rejects as soon
// as the device reports a failure, and the first failure is final.

import type { EmbedderError } from '../errors.js';
import { faceFailure } from '../wasm-face.js';

export class Guard {
  #failure: EmbedderError | undefined;
  /** Rejections of the calls in flight. Kept by hand: racing one long-lived promise would retain every result. */
  readonly #inFlight = new Set<(error: EmbedderError) => void>();
  readonly #onFailure: (error: EmbedderError) => void;

  constructor(onFailure: (error: EmbedderError) => void) {
    this.#onFailure = onFailure;
  }

  get failure(): EmbedderError | undefined {
    return this.#failure;
  }

  /** Ends everything in flight and everything to come. Only the first failure counts: it is the cause of the rest. */
  fail(error: EmbedderError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const reject of this.#inFlight) reject(error);
    this.#inFlight.clear();
    this.#onFailure(error);
  }

  /** Calls the face, turning what it throws into an `EmbedderError`. */
  call<T>(run: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return run();
    } catch (thrown) {
      throw this.#read(thrown);
    }
  }

  /** Calls the face and waits for its answer, or for the device's failure. */
  async wait<T>(run: () => Promise<T>): Promise<T> {
    const answer = this.call(run);
    return new Promise<T>((resolve, reject) => {
      this.#inFlight.add(reject);
      answer.then(
        (value) => {
          this.#inFlight.delete(reject);
          resolve(value);
        },
        (thrown: unknown) => {
          this.#inFlight.delete(reject);
          reject(this.#read(thrown));
        },
      );
    });
  }

  #read(thrown: unknown): EmbedderError {
    const { error, fatal } = faceFailure(thrown);
    if (fatal) this.fail(error);
    return this.#failure ?? error;
  }
}
