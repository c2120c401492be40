// Every failure of this package is an `EmbedderError` with a stable `code`, except a cancelled call,
// which rejects with an `AbortError` as `fetch` does.
//
// Errors cross a worker and may come from a second copy of this file, so nothing here or elsewhere
// tests with `instanceof`: an error is known by its `name` and its `code`.

/**
 * What a program may branch on. The first group is the Rust side's (`src/error.rs`), the second this
 * package's own, and `HOSTED_*` what comes of the hosted API. The strings never change.
 *
 * - `LOCAL_UNAVAILABLE`: this runtime can compute nothing itself, whatever the device (an edge worker); or
 *   the last load of the model ended the page, and the hosted API may serve instead.
 * - `SELFTEST_FAILED`: the device computes, and computes wrong numbers.
 * - `HOSTED_AUTH`: the key is missing, wrong or not allowed this (401, 403).
 * - `HOSTED_QUOTA`: the balance or the plan is used up (402, 403).
 * - `HOSTED_RATE_LIMIT`: too many requests, also after the retries (429).
 * - `HOSTED_SERVER`: the server failed (5xx). `HOSTED_TIMEOUT`: it, or a gateway, took too long.
 * - `HOSTED_UNREACHABLE`: no connection, or one that broke.
 * - `HOSTED_REJECTED`: the request itself was refused (400, 404, 413, 422 and the like).
 * - `HOSTED_RESPONSE`: a success whose body is none of the documented form.
 * - `HOSTED_KEY_EXPOSED`: a key was given in a page, where every visitor can read it.
 */
export type ErrorCode =
  | 'MODEL_INVALID'
  | 'MODEL_UNSUPPORTED'
  | 'INPUT_INVALID'
  | 'TASK_UNAVAILABLE'
  | 'WEBGPU_UNAVAILABLE'
  | 'NO_ADAPTER'
  | 'LIMITS_INSUFFICIENT'
  | 'OUT_OF_MEMORY'
  | 'DEVICE_LOST'
  | 'GPU_ERROR'
  | 'NOT_FINITE'
  | 'ABORTED'
  | 'DISPOSED'
  | 'IO'
  | 'INTERNAL'
  | 'DOWNLOAD_FAILED'
  | 'INTEGRITY'
  | 'QUOTA'
  | 'WASM_INIT'
  | 'WORKER_FAILED'
  | 'SPACE_MISMATCH'
  | 'DUPLICATE_ID'
  | 'INDEX_INVALID'
  | 'INDEX_UNSUPPORTED'
  | 'SELFTEST_FAILED'
  | 'LOCAL_UNAVAILABLE'
  | 'HOSTED_AUTH'
  | 'HOSTED_QUOTA'
  | 'HOSTED_RATE_LIMIT'
  | 'HOSTED_SERVER'
  | 'HOSTED_TIMEOUT'
  | 'HOSTED_UNREACHABLE'
  | 'HOSTED_REJECTED'
  | 'HOSTED_RESPONSE'
  | 'HOSTED_KEY_EXPOSED';

/**
 * Whether trying again may succeed: the same call where the embedder is still usable, or a new
 * embedder where it has failed. `false` means that something must be changed first.
 */
const RECOVERABLE: Readonly<Record<ErrorCode, boolean>> = {
  MODEL_INVALID: false,
  MODEL_UNSUPPORTED: false,
  INPUT_INVALID: false,
  TASK_UNAVAILABLE: false,
  WEBGPU_UNAVAILABLE: false,
  NO_ADAPTER: false,
  LIMITS_INSUFFICIENT: false,
  OUT_OF_MEMORY: true,
  DEVICE_LOST: true,
  GPU_ERROR: true,
  NOT_FINITE: false,
  ABORTED: true,
  DISPOSED: false,
  IO: true,
  INTERNAL: true,
  DOWNLOAD_FAILED: true,
  INTEGRITY: true,
  QUOTA: true,
  WASM_INIT: true,
  WORKER_FAILED: true,
  SPACE_MISMATCH: false,
  DUPLICATE_ID: false,
  INDEX_INVALID: false,
  INDEX_UNSUPPORTED: false,
  SELFTEST_FAILED: false,
  LOCAL_UNAVAILABLE: false,
  HOSTED_AUTH: false,
  HOSTED_QUOTA: false,
  HOSTED_RATE_LIMIT: true,
  HOSTED_SERVER: true,
  HOSTED_TIMEOUT: true,
  HOSTED_UNREACHABLE: true,
  HOSTED_REJECTED: false,
  HOSTED_RESPONSE: true,
  HOSTED_KEY_EXPOSED: false,
};

/** One input that a call could not embed: its place in the list, the rule's code, and the reason. */
export interface InputError {
  readonly index: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** What an error carries besides its message. */
export interface EmbedderErrorOptions {
  readonly cause?: unknown;
  /** Facts a program may act on, such as `url`, `status`, `needed` and `found`. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** Where this occurrence differs from what its code says. */
  readonly recoverable?: boolean;
}

export class EmbedderError extends Error {
  override readonly name = 'EmbedderError';
  readonly code: ErrorCode;
  /** `true`: the same call, or a new embedder, may succeed. */
  readonly recoverable: boolean;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: EmbedderErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.recoverable = options.recoverable ?? RECOVERABLE[code];
    this.data = options.data ?? {};
  }

  /** Every bad input of the call, in order of their index; empty where the inputs are not at fault. */
  get inputs(): readonly InputError[] {
    const inputs = this.data['inputs'];
    return Array.isArray(inputs) ? (inputs as InputError[]) : [];
  }
}

/** Tells whether a caught value is this package's error, whichever copy or thread it came from. */
export function isEmbedderError(value: unknown): value is EmbedderError {
  return isRecord(value) && value['name'] === 'EmbedderError' && isErrorCode(value['code']);
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(RECOVERABLE, value);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The error of a cancelled call. Its `cause` is the signal's reason where that says more. */
export function abortError(signal?: AbortSignal): DOMException {
  const reason: unknown = signal?.reason;
  if (isRecord(reason) && reason['name'] === 'AbortError') return reason as unknown as DOMException;
  const error = new DOMException('The operation was cancelled by its signal', 'AbortError');
  if (reason !== undefined) Object.defineProperty(error, 'cause', { value: reason, configurable: true });
  return error;
}

export function isAbortError(value: unknown): boolean {
  return isRecord(value) && value['name'] === 'AbortError';
}

/** A one-line reason for any thrown value. */
export function reasonOf(value: unknown): string {
  if (isRecord(value) && typeof value['message'] === 'string' && value['message'] !== '') return value['message'];
  return typeof value === 'string' && value !== '' ? value : String(value);
}

/** An error as it crosses the worker. */
export interface WireError {
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly recoverable: boolean;
  readonly stack: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * Writes any thrown value as plain data. What is no `EmbedderError` takes `fallback` as its code; an
 * abort is `ABORTED`, which {@link fromWire} turns back into an `AbortError`.
 */
export function toWire(thrown: unknown, fallback: ErrorCode = 'INTERNAL'): WireError {
  const stack = isRecord(thrown) && typeof thrown['stack'] === 'string' ? thrown['stack'] : '';
  if (isEmbedderError(thrown)) {
    const { name, code, message, recoverable, data } = thrown;
    return { name, code, message, recoverable, stack, data };
  }
  const code = isAbortError(thrown) ? 'ABORTED' : fallback;
  const name = isRecord(thrown) && typeof thrown['name'] === 'string' ? thrown['name'] : 'Error';
  return { name, code, message: reasonOf(thrown), recoverable: RECOVERABLE[code], stack, data: {} };
}

/** Rebuilds the error that {@link toWire} wrote; its cause holds the stack of the other side. */
export function fromWire(wire: WireError): EmbedderError | DOMException {
  if (wire.code === 'ABORTED') return abortError();
  const cause = new Error(wire.message);
  cause.name = wire.name;
  cause.stack = wire.stack;
  return new EmbedderError(wire.code, wire.message, { cause, recoverable: wire.recoverable, data: wire.data });
}
