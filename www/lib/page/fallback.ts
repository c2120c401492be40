// Which side serves a call.
//
//   prefer-local    the engine here; where that is impossible, the hosted API
//   prefer-hosted   the hosted API; where that cannot serve, the engine here, loaded only then
//   only-…          that side, or an error
//
// An embedder changes sides at most once, tells so through `onFallback`, and stays: vectors of two spaces
// never alternate. A call is served whole by one side. An engine that dies is started again once, with
// the call that found it dead; the second death changes the side.

import { EmbedderError, isAbortError, isEmbedderError, type ErrorCode } from '../errors.js';
import type { FallbackReason } from '../types.js';
import { SharedTask } from './shared-task.js';
import { LocalSide, type AnyResult, type Call, type Side } from './sides.js';

/** The failures that say that this device, or this page, cannot compute. */
const LOCAL_IMPOSSIBLE: ReadonlySet<ErrorCode> = new Set([
  'WEBGPU_UNAVAILABLE', 'NO_ADAPTER', 'LIMITS_INSUFFICIENT', 'OUT_OF_MEMORY', 'DEVICE_LOST', 'GPU_ERROR', 'SELFTEST_FAILED',
  'DOWNLOAD_FAILED', 'INTEGRITY', 'QUOTA', 'IO', 'MODEL_INVALID', 'MODEL_UNSUPPORTED', 'WASM_INIT', 'WORKER_FAILED', 'LOCAL_UNAVAILABLE', 'INTERNAL',
]);

/** The failures that say that the hosted API does not serve this caller now. A request it refuses is none. */
const HOSTED_IMPOSSIBLE: ReadonlySet<ErrorCode> = new Set([
  'HOSTED_UNREACHABLE', 'HOSTED_AUTH', 'HOSTED_QUOTA', 'HOSTED_RATE_LIMIT', 'HOSTED_SERVER', 'HOSTED_TIMEOUT', 'HOSTED_RESPONSE',
]);

/** Whether the other side should serve what `source` failed at. An abort and a bad input never say so. */
export function callsForFallback(source: Side['source'], error: unknown): error is EmbedderError {
  // An input that this device cannot hold is a bad one here, and the next call's may be good.
  if (isAbortError(error) || !isEmbedderError(error) || error.inputs.length > 0) return false;
  return (source === 'local' ? LOCAL_IMPOSSIBLE : HOSTED_IMPOSSIBLE).has(error.code);
}

export interface Routing {
  readonly side: Side;
  /** Makes the other side; `undefined` where the mode allows none. */
  readonly other: ((signal: AbortSignal) => Promise<Side>) | undefined;
  /** Why `side` is not the preferred one, where the embedder was created on the other. */
  readonly changed: FallbackReason | undefined;
  readonly onFallback: ((reason: FallbackReason) => void) | undefined;
}

export class Route {
  readonly #other: Routing['other'];
  readonly #onFallback: Routing['onFallback'];
  #side: Side;
  /** Once set, there is no way back. */
  #changed: FallbackReason | undefined;
  #changing: SharedTask<Side> | undefined;
  #disposed = false;

  constructor({ side, other, changed, onFallback }: Routing) {
    this.#side = side;
    this.#other = other;
    this.#changed = changed;
    this.#onFallback = onFallback;
  }

  get side(): Side {
    return this.#side;
  }

  /** Whether a call may need its copies again. */
  get mayChange(): boolean {
    return this.#other !== undefined && this.#changed === undefined;
  }

  async encode(call: Call): Promise<AnyResult> {
    const side = this.#side;
    try {
      return await this.#encodeOn(side, call);
    } catch (error) {
      if (!callsForFallback(side.source, error)) throw error;
      if (side === this.#side && !this.mayChange) throw this.#afterwards(error);
      const other = await this.#change(side, error, call.options.signal);
      try {
        return await this.#encodeOn(other, call);
      } catch (second) {
        throw this.#afterwards(second);
      }
    }
  }

  /** An engine that dies under a call is started again for that call, the first time. */
  async #encodeOn(side: Side, call: Call): Promise<AnyResult> {
    try {
      return await side.encode(call);
    } catch (error) {
      const diedFirst = call.keepCopies && side instanceof LocalSide && side.engine.failure !== undefined && side.engine.nStarts === 1 && callsForFallback('local', error);
      if (!diedFirst || this.#disposed) throw error;
      return side.encode(call);
    }
  }

  /** Changes to the other side, once for all calls that ask for it together. */
  #change(from: Side, error: EmbedderError, signal: AbortSignal | undefined): Promise<Side> {
    if (this.#side !== from) return Promise.resolve(this.#side);
    this.#changing ??= new SharedTask((abort) => this.#makeOther(from, error, abort));
    return this.#changing.wait(signal);
  }

  async #makeOther(from: Side, error: EmbedderError, signal: AbortSignal): Promise<Side> {
    const reason = fallbackReason(from.source, error);
    tell(this.#onFallback, reason);
    try {
      const other = await (this.#other as NonNullable<Routing['other']>)(signal);
      if (this.#disposed) {
        await other.dispose();
        throw new EmbedderError('DISPOSED', 'The embedder was disposed of');
      }
      this.#side = other;
      this.#changed = reason;
      if (from instanceof LocalSide) from.retire();
      return other;
    } catch (second) {
      throw this.#disposed ? new EmbedderError('DISPOSED', 'The embedder was disposed of') : bothFailed(second, reason);
    } finally {
      this.#changing = undefined;
    }
  }

  /** An error on the second side, which says why the first was left. */
  #afterwards(error: unknown): unknown {
    return this.#changed === undefined ? error : bothFailed(error, this.#changed);
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#changing?.cancel();
    await this.#side.dispose();
  }
}

export function fallbackReason(from: Side['source'], error: EmbedderError): FallbackReason {
  return { from, to: from === 'local' ? 'hosted' : 'local', code: error.code, message: error.message, error };
}

function bothFailed(error: unknown, { from, code, message }: FallbackReason): unknown {
  if (!isEmbedderError(error) || error.code === 'DISPOSED' || error.data['fallback'] !== undefined) return error;
  const where = from === 'local' ? 'computing here' : 'the hosted API';
  return new EmbedderError(error.code, `${error.message} (after ${where} failed: ${code}: ${message})`, {
    cause: error,
    recoverable: error.recoverable,
    data: { ...error.data, fallback: { from, code, message } },
  });
}

/** What the caller's function throws is its own affair: reported as uncaught, and no part of the call. */
export function tell<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
