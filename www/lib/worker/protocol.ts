// What the page and the engine say to each other. The engine runs in a worker, or in the calling thread
// at the other end of a `MessageChannel`; both speak this.
//
//   page                         engine
//        ◄──────────────── hello           the script runs
//   open id ─────────────►                 load the module, the device, the model
//        ◄──────────────── progress id …
//        ◄──────────────── result id       EmbedderInfo      (or: failure id)
//   encode id ───────────►                 queued, first in first out
//        ◄──────────────── progress id …
//        ◄──────────────── result id       EncodeReply       (or: failure id)
//   abort id ────────────►                 leaves the queue, or stops at the next layer
//   memory id ───────────►                 answered at once, also while an encode runs
//   close id ────────────►                 everything is freed
//        ◄──────────────── fatal           the device or the module is gone; nothing follows
//
// Where the caller gave a `fetch`, the engine asks the page for bytes, one chunk at a time:
//
//        ◄──────────────── fetch id url
//   fetch-head id ───────►
//        ◄──────────────── fetch-pull id   the page reads on only when asked
//   fetch-chunk id ──────►                 (or: fetch-end, fetch-failure)
//        ◄──────────────── fetch-cancel id
//
// Where the caller gave a store for the weights, the engine asks the page for what its methods do:
//
//        ◄──────────────── store id call
//   store-result id ─────►                 (or: store-failure)
//
// Every message carries `protocol`. Others are ignored, since development tools post to workers too; one
// of ours that is malformed, or of another version, is an error.

import { isErrorCode, isRecord, type InputError, type WireError } from '../errors.js';
import type { OpenOptions } from '../fetch-body.js';
import type { DeviceKind, EmbedderInfo, EncodeProgress, KernelForm, MemoryUse, ProgressEvent } from '../types.js';
import type { FileRole, WasmEncodeOptions, WasmSource } from '../wasm-face.js';

const NAME = 'jina-embeddings-web';
export const PROTOCOL = `${NAME}/1`;

/** A model's file as the engine gets it: addresses are absolute. */
export type FileSource = { readonly url: string } | { readonly blob: Blob };

/** Where the engine finds the model. */
export type WireModel =
  | { readonly kind: 'directory'; readonly url: string }
  | { readonly kind: 'files'; readonly files: readonly WireFile[] };

export interface WireFile {
  readonly role: FileRole;
  /** The adapter's, where `role` is `adapter`. */
  readonly task?: string;
  readonly name: string;
  readonly source: FileSource;
}

/** One input as the engine gets it. Buffers and bitmaps are copies, owned by the engine. */
export type WireInput =
  | { readonly text: string }
  | { readonly url: string }
  | { readonly blob: Blob }
  | { readonly bytes: Uint8Array }
  | { readonly width: number; readonly height: number; readonly rgba: Uint8ClampedArray }
  | { readonly bitmap: ImageBitmap }
  | { readonly invalid: { readonly code: InputError['code']; readonly message: string } };

export interface OpenRequest {
  readonly model: WireModel;
  readonly device: 'auto' | DeviceKind;
  readonly images: boolean;
  readonly multivector: boolean;
  /** The form of the operations on WebGPU. */
  readonly kernels: KernelForm;
  readonly wasm?: WasmSource;
  /** `page`: ask the page for bytes, since the caller gave a `fetch`. */
  readonly fetch: 'own' | 'page';
  /** Where weights are kept. `page`: by the page, since the caller gave a store. */
  readonly cache: 'auto' | 'opfs' | 'cache-api' | 'page' | false;
  /** Bytes of graphics memory that may be used; `null`: as much as the device gives. */
  readonly gpuBudget: number | null;
}

export interface EncodeRequest {
  readonly inputs: readonly WireInput[];
  readonly options: WasmEncodeOptions;
  readonly onInputError: 'throw' | 'null';
}

export interface EncodeReply {
  readonly dimensions: number;
  /** `null` where the input is listed in `errors`. */
  readonly items: readonly ({ readonly values: Float32Array; readonly rows: number } | null)[];
  readonly errors: readonly InputError[];
  readonly tokens: number;
  readonly images: number;
  readonly timings: { readonly queueMs: number; readonly fetchMs: number; readonly preprocessMs: number; readonly computeMs: number; readonly totalMs: number };
}

export type ToEngine =
  | { readonly type: 'open'; readonly id: number; readonly request: OpenRequest }
  | { readonly type: 'encode'; readonly id: number; readonly request: EncodeRequest }
  | { readonly type: 'memory'; readonly id: number }
  | { readonly type: 'close'; readonly id: number }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'fetch-head'; readonly id: number; readonly head: FetchHead }
  | { readonly type: 'fetch-chunk'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: 'fetch-end'; readonly id: number }
  | { readonly type: 'fetch-failure'; readonly id: number; readonly error: WireError }
  | { readonly type: 'store-result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'store-failure'; readonly id: number; readonly error: WireError };

export interface FetchHead {
  readonly status: number;
  readonly statusText: string;
  /** These headers, where there are any and the page may read them. */
  readonly contentLength: string | null;
  readonly contentRange: string | null;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** What a store that the caller gave is asked to do; the answer is what its method returns. */
export type StoreCall =
  | { readonly method: 'names' }
  | { readonly method: 'get' | 'delete'; readonly name: string }
  | { readonly method: 'put'; readonly name: string; readonly bytes: Uint8Array };

export type ToPage =
  | { readonly type: 'hello' }
  | { readonly type: 'device-ready'; readonly id: number }
  | { readonly type: 'progress'; readonly id: number; readonly event: ProgressEvent | EncodeProgress }
  | { readonly type: 'result'; readonly id: number; readonly value: EmbedderInfo | EncodeReply | MemoryUse | null }
  | { readonly type: 'failure'; readonly id: number; readonly error: WireError }
  | { readonly type: 'fatal'; readonly error: WireError }
  | { readonly type: 'fetch'; readonly id: number; readonly url: string; readonly method: 'GET' | 'HEAD'; readonly options?: OpenOptions }
  | { readonly type: 'fetch-pull'; readonly id: number }
  | { readonly type: 'fetch-cancel'; readonly id: number }
  | { readonly type: 'store'; readonly id: number; readonly call: StoreCall };

/** The end of a channel that messages leave by and arrive at. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message' | 'messageerror', listener: (event: MessageEvent) => void): void;
  /** A `MessagePort` delivers nothing before it is started; a worker has no such method. */
  start?(): void;
}

export function send(endpoint: Endpoint, message: ToEngine | ToPage, transfer: Transferable[] = []): void {
  endpoint.postMessage({ protocol: PROTOCOL, ...message }, transfer);
}

/** What arrived: a message, nothing of ours, or one of ours that cannot be read. */
export type Received<M> = { readonly message: M } | { readonly problem: string } | undefined;

const hasId = (m: Record<string, unknown>): boolean => Number.isSafeInteger(m['id']);
const hasIdAnd = (field: string) => (m: Record<string, unknown>): boolean => hasId(m) && isRecord(m[field]);
const isWireError = (value: unknown): boolean =>
  isRecord(value) && isErrorCode(value['code']) && typeof value['message'] === 'string' && isRecord(value['data']);

const TO_ENGINE: Readonly<Record<ToEngine['type'], (m: Record<string, unknown>) => boolean>> = {
  open: hasIdAnd('request'),
  encode: (m) => hasId(m) && isRecord(m['request']) && Array.isArray(m['request']['inputs']) && isRecord(m['request']['options']),
  memory: hasId,
  close: hasId,
  abort: hasId,
  'fetch-head': hasIdAnd('head'),
  'fetch-chunk': (m) => hasId(m) && m['bytes'] instanceof Uint8Array,
  'fetch-end': hasId,
  'fetch-failure': (m) => hasId(m) && isWireError(m['error']),
  'store-result': (m) => hasId(m) && 'value' in m,
  'store-failure': (m) => hasId(m) && isWireError(m['error']),
};

const TO_PAGE: Readonly<Record<ToPage['type'], (m: Record<string, unknown>) => boolean>> = {
  hello: () => true,
  'device-ready': hasId,
  progress: hasIdAnd('event'),
  result: (m) => hasId(m) && 'value' in m,
  failure: (m) => hasId(m) && isWireError(m['error']),
  fatal: (m) => isWireError(m['error']),
  fetch: (m) => hasId(m) && typeof m['url'] === 'string' && (m['method'] === 'GET' || m['method'] === 'HEAD'),
  'fetch-pull': hasId,
  'fetch-cancel': hasId,
  store: (m) => hasId(m) && isRecord(m['call']) && typeof m['call']['method'] === 'string',
};

function read<M>(checks: Readonly<Record<string, (m: Record<string, unknown>) => boolean>>, data: unknown): Received<M> {
  if (!isRecord(data) || typeof data['protocol'] !== 'string' || !data['protocol'].startsWith(`${NAME}/`)) return undefined;
  if (data['protocol'] !== PROTOCOL) {
    return { problem: `the other side speaks ${data['protocol']}, this side ${PROTOCOL}: the page's script and the worker's come from different versions` };
  }
  const type = data['type'];
  const check = typeof type === 'string' && Object.hasOwn(checks, type) ? checks[type] : undefined;
  if (check === undefined) return { problem: `a message of the unknown type ${JSON.stringify(type)}` };
  return check(data) ? { message: data as M } : { problem: `a malformed message of type "${String(type)}"` };
}

/** Checks what the page sent. */
export function readToEngine(data: unknown): Received<ToEngine> {
  return read<ToEngine>(TO_ENGINE, data);
}

/** Checks what the engine sent. */
export function readToPage(data: unknown): Received<ToPage> {
  return read<ToPage>(TO_PAGE, data);
}
