// The seam to Rust: what `src/web` exports through wasm-bindgen, as this package calls it.
// Generated code lies in `wasm/`; this is the only place that knows its names.
//
// Every rejection and every throw of the face is a plain `{code, message, inputs?}`. Anything else that
// is thrown is a trap (a Rust panic), after which the instance must not be called again.

import { EmbedderError, isErrorCode, isRecord, reasonOf } from './errors.js';
import type { DeviceKind } from './types.js';

export interface WasmFace {
  /** Compiles and starts the module; a second call returns the running instance. */
  default(options: { module_or_path: WasmSource }): Promise<WasmExports | undefined>;
  /** Reports a lost device, an uncaptured GPU error or a panic for as long as the device lives. */
  create_device(kind: DeviceKind, on_event: (event: DeviceEvent) => void): Promise<WasmDevice>;
  ModelLoader: new (device: WasmDevice) => WasmModelLoader;
}

/** What the instance exports, of which one thing is used here. */
export interface WasmExports {
  /** Every object of JavaScript that the module holds: what is not in it, the module can never use again. */
  readonly __wbindgen_externrefs: WebAssembly.Table;
}

export type WasmSource = string | URL | BufferSource | WebAssembly.Module;

export interface DeviceEvent {
  readonly type: 'lost' | 'error' | 'panic';
  readonly code: string;
  readonly message: string;
}

export interface WasmDevice {
  info(): WasmDeviceInfo;
  /** The very device that computes; `undefined` on the CPU. */
  gpu_device(): WasmGpuDevice | undefined;
  /** May be called while an encode runs. */
  bytes_in_use(): { gpu: number; wasm: number };
  /** Measures which form of each operation runs fastest here, and names the choice. On WebGPU alone. */
  measure_kernels(): Promise<string>;
  /** Whether this names a choice that the device can run. */
  runs_kernels(kernels: string): boolean;
  /** Frees every buffer of the device. */
  destroy(): void;
}

/** What of a `GPUDevice` is called from here. */
export interface WasmGpuDevice {
  readonly queue: { onSubmittedWorkDone(): Promise<unknown> };
  readonly limits: { readonly maxBufferSize: number };
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): { readonly size: number; readonly usage: number; destroy(): void };
  pushErrorScope(filter: 'out-of-memory' | 'validation'): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
}

export interface WasmDeviceInfo {
  /** Of this module. */
  version: string;
  kind: DeviceKind;
  name: string;
  vendor: string;
  architecture: string;
  description: string;
  isFallbackAdapter: boolean;
  shaderF16: boolean;
  maxBufferBytes: number;
  maxBindingBytes: number;
}

export type FileRole = 'text' | 'vision' | 'projector' | 'adapter';

export interface WasmModelLoader {
  /** Opens a file; the text model may come in several, in order. `n_bytes` where it is known for sure. */
  begin_file(role: FileRole, task: string | undefined, name: string, n_bytes: number | undefined): void;
  /** Takes the next bytes of the open file and copies them; throws `MODEL_INVALID` at the first bad one. */
  push(chunk: Uint8Array): void;
  /** Throws where the file stopped early. */
  end_file(): void;
  /**
   * Consumes the loader. `kernels` is the form of the operations on WebGPU: 'auto', 'tiled', 'direct' or a
   * measured choice; `scratch_limit` the bytes of the graphics device that encoding may use beside the
   * weights.
   */
  finish(kernels: string, scratch_limit: number | undefined): Promise<WasmEmbedder>;
  /** Drops a loader that was not finished. */
  free(): void;
}

export interface WasmEmbedder {
  config(): WasmModelConfig;
  /** The form of the operations: a measured or fixed choice, or that of the CPU. */
  kernels(): string;
  /**
   * `is_aborted` is asked between layers, after a turn of the event loop. `on_released` is told when the
   * device's pools have given up what nothing uses. An input that cannot be embedded becomes an item with
   * `error`; what concerns the whole call rejects.
   */
  encode(
    inputs: WasmInput[],
    options: WasmEncodeOptions,
    on_progress: (done: number, total: number) => void,
    is_aborted: () => boolean,
    on_released: () => void,
  ): Promise<WasmEncodeOutput>;
  free(): void;
}

export interface WasmModelConfig {
  hiddenSize: number;
  matryoshkaDims: number[];
  projectorDim: number | null;
  tasks: string[];
  hasVision: boolean;
  maxPixels: number;
  minPixels: number;
  maxTokens: number;
  /** Most tokens of a text that fits the device. */
  longestText: number;
  architecture: string;
  space: string;
}

export type WasmInput =
  | { text: string }
  | { image: Uint8Array }
  | { width: number; height: number; rgba: Uint8ClampedArray };

export interface WasmEncodeOptions {
  task: string;
  dimensions?: number;
  multivector: boolean;
  lateChunking: boolean;
  maxPixels?: number;
  maxLength?: number;
}

export interface WasmEncodeOutput {
  dimensions: number;
  items: WasmItem[];
  timings: { preprocess_ms: number; compute_ms: number };
}

/** `values` is `[rows, dimensions]`; a single vector has one row. */
export type WasmItem = { values: Float32Array; rows: number; tokens: number } | { error: { code: string; message: string } };

/** The codes after which nothing more may be read from the device or the instance. */
const FATAL_CODES: ReadonlySet<string> = new Set(['DEVICE_LOST', 'GPU_ERROR', 'INTERNAL', 'OUT_OF_MEMORY']);

/** What a failure of the face means: the error for the caller, and whether the instance still stands. */
export interface FaceFailure {
  readonly error: EmbedderError;
  readonly fatal: boolean;
}

/** Reads what a call into the face threw. */
export function faceFailure(thrown: unknown): FaceFailure {
  if (isRecord(thrown) && isErrorCode(thrown['code'])) {
    const { code } = thrown;
    const data = Array.isArray(thrown['inputs']) ? { inputs: thrown['inputs'] } : {};
    // What one input lacks is no failure of the device.
    const fatal = FATAL_CODES.has(code) && !('inputs' in data);
    return { error: new EmbedderError(code, reasonOf(thrown), { data }), fatal };
  }
  const message = `The WebAssembly module stopped: ${reasonOf(thrown)}`;
  const event = thrown instanceof WebAssembly.RuntimeError ? 'panic' : 'exception';
  return { error: new EmbedderError('INTERNAL', message, { cause: thrown, data: { event } }), fatal: true };
}

/** Reads a device event. All of them are fatal: what the device computes from here on is not valid. */
export function deviceEventError(event: DeviceEvent): EmbedderError {
  const code = { lost: 'DEVICE_LOST', error: 'GPU_ERROR', panic: 'INTERNAL' } as const;
  const stated = isErrorCode(event.code) ? event.code : code[event.type];
  return new EmbedderError(stated, event.message, { recoverable: true, data: { event: event.type } });
}
