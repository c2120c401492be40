// Every call into the edge module goes through here: what it throws becomes an `EmbedderError`, and after
// a trap, which leaves its memory in no known state, it is not called again. The file is as it was.

import { EmbedderError, isErrorCode, isRecord, reasonOf } from '../../errors.js';

export class Guard {
  #failure: EmbedderError | undefined;

  call<T>(run: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return run();
    } catch (thrown) {
      if (isRecord(thrown) && isErrorCode(thrown['code']) && typeof thrown['message'] === 'string') {
        throw new EmbedderError(thrown['code'], thrown['message'], { cause: thrown });
      }
      throw (this.#failure = new EmbedderError('INTERNAL', `The search module failed: ${reasonOf(thrown)}. Open the index anew; what was committed is there`, { cause: thrown }));
    }
  }
}
