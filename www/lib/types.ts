/// <reference lib="esnext.disposable" preserve="true" />

// The public types of the package. No code, and nothing that needs more than the standard libraries,
// so that a project without WebGPU types compiles against it.

import type { EmbedderError, ErrorCode, InputError } from './errors.js';
import type { HostedOptions } from './hosted/types.js';

/**
 * What the vectors are for. The part before the dot is the adapter, the part after it the side of the
 * pair: queries and passages of one adapter share a space and are compared with each other.
 */
export type Task = 'retrieval.query' | 'retrieval.passage' | 'text-matching' | 'code.query' | 'code.passage';

/** The three adapters of the model. */
export type AdapterName = 'retrieval' | 'text-matching' | 'code';

/** Where the model computes. */
export type DeviceKind = 'webgpu' | 'wasm';

/**
 * A picture in any of the forms a page has it in.
 *
 * - `Blob`, `ArrayBuffer`, `Uint8Array`: the bytes of a PNG, JPEG, WebP, GIF (first frame) or BMP file.
 * - `URL` or `string`: an address, a `data:` URL, or the base64 text of such a file. A string counts as
 *   base64 when it begins as those files begin and holds nothing but base64 characters.
 * - `ImageData`, `ImageBitmap`, a canvas, a loaded `<img>`: pixels, as the browser shows them. It turns an
 *   `<img>` as its EXIF data say, and translucent pixels of the last three pass through premultiplied
 *   alpha, which rounds their colours; give the file's bytes where the exact result matters.
 *
 * None of them is consumed, closed or detached.
 */
export type ImageSource =
  | string
  | URL
  | Blob
  | ArrayBuffer
  | Uint8Array
  | ImageData
  | ImageBitmap
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLImageElement;

/** One thing to embed. A bare string is always text, even where it looks like an address. */
export type Input = string | { readonly text: string } | { readonly image: ImageSource };

export interface EncodeOptions {
  readonly task: Task;
  /** Keep the first so many values of each vector, normalised again. Default: all of them. */
  readonly dimensions?: number | undefined;
  /** One vector per token instead of one per input. Default: `false`. */
  readonly returnMultivector?: boolean | undefined;
  /**
   * Read all texts as one document, and pool one vector per text. Default: `false`. Texts only; a bad
   * input always rejects the call, since without it the others would read differently.
   */
  readonly lateChunking?: boolean | undefined;
  /** Pictures above this many pixels are scaled down to it before anything else. Mode `only-local`. */
  readonly maxPixels?: number | undefined;
  /** Texts are cut from the right at this many tokens, the task's prefix included. Mode `only-local`. */
  readonly maxLength?: number | undefined;
  /** Cancels the call: it rejects with an `AbortError` at once, and leaves the queue. */
  readonly signal?: AbortSignal | undefined;
  /** Told how many of the inputs are done. */
  readonly onProgress?: ((progress: EncodeProgress) => void) | undefined;
  /**
   * `'throw'` (the default): one bad input rejects the call with `INPUT_INVALID`, whose `inputs` lists
   * every bad one. `'null'`: its place in `embeddings` is `null`, and `errors` says why.
   */
  readonly onInputError?: 'throw' | 'null' | undefined;
}

export interface EncodeProgress {
  /** Inputs embedded so far. */
  readonly done: number;
  readonly total: number;
}

/** What vectors are held in: floats, or packed bits as signed or unsigned bytes. */
export type VectorValues = Float32Array | Int8Array | Uint8Array;

/** One vector per token of one input. */
export interface MultiVector<V extends VectorValues = Float32Array> {
  /** `[rows, dimensions]`, row after row. */
  readonly values: V;
  readonly rows: number;
  /** Values in each row. */
  readonly dimensions: number;
  /** The vector of token `i`: a view into `values`, not a copy. */
  row(i: number): V;
}

/** The type of one option in `O`, where an option left out counts as `undefined`. */
type OptionOf<O extends EncodeOptions, K extends keyof EncodeOptions> = K extends keyof O ? O[K] : undefined;

/** What one input becomes under the options `O`. */
export type EmbeddingOf<O extends EncodeOptions> =
  | ([OptionOf<O, 'returnMultivector'>] extends [true]
      ? MultiVector
      : [OptionOf<O, 'returnMultivector'>] extends [false | undefined]
        ? Float32Array
        : Float32Array | MultiVector)
  | ([OptionOf<O, 'onInputError'>] extends ['throw' | undefined] ? never : null);

/** What a call with a list of inputs returns. */
export interface EncodeResult<E = Float32Array> {
  /** In the order of the inputs, each of length 1 (or with rows of length 1). */
  readonly embeddings: E[];
  /** Length of each vector. */
  readonly dimensions: number;
  /**
   * Names the weights, adapter, pooling and length. Only vectors of one space may be compared.
   */
  readonly space: string;
  /** Who computed: this device, or the hosted API. */
  readonly source: 'local' | 'hosted';
  /** Where this device computed; `null` where the hosted API did. */
  readonly device: DeviceKind | null;
  readonly usage: { readonly tokens: number; readonly images: number };
  /** The inputs that were not embedded; empty unless `onInputError` is `'null'`. */
  readonly errors: readonly InputError[];
  readonly timings: EncodeTimings;
}

/** What a call with a single input returns: the same, and the one embedding by itself. */
export interface SingleEncodeResult<E = Float32Array> extends EncodeResult<E> {
  readonly embedding: E;
}

/** Milliseconds. */
export interface EncodeTimings {
  /** Waiting for earlier calls. */
  readonly queueMs: number;
  /** Fetching and reading the pictures. */
  readonly fetchMs: number;
  /** Tokenising, decoding and resizing. */
  readonly preprocessMs: number;
  /** The model. */
  readonly computeMs: number;
  /** From leaving the queue to the result. */
  readonly totalMs: number;
}

/** Bytes in use: buffers on the device, and the WebAssembly memory, which never shrinks. */
export interface MemoryUse {
  /** On WebGPU every buffer that was made and not destroyed. */
  readonly gpu: number;
  /** The most that `gpu` has been since loading began, on WebGPU. */
  readonly gpuPeak?: number;
  readonly wasm: number;
}

/** What loading and encoding take of the graphics device, told before anything is downloaded. */
export interface MemoryStatement {
  /** The weights with what padding and rounding add; `null` where the size of a file is not told beforehand. */
  readonly weightBytes: number | null;
  /** Beside them, while a text of `promisedTokens` or any picture is embedded. */
  readonly scratchBytes: number;
  /** Both together. */
  readonly peakBytes: number | null;
  readonly promisedTokens: number;
}

/**
 * What the recomputed vectors of the model directory said of this device. `remembered`: they came out right
 * on an earlier visit, on this adapter and with this build. `none`: the model brings no vectors, or they
 * could not be fetched.
 */
export type SelfTest = 'passed' | 'remembered' | 'none';

export interface AdapterInfo {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** `true`: a software adapter, slow, and no graphics card behind it. */
  readonly isFallbackAdapter: boolean;
  readonly shaderF16: boolean;
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
}

export interface ModelInfo {
  readonly name: string;
  readonly architecture: string;
  /** The licence of the weights, where the model directory states one. */
  readonly licence?: string;
  readonly hiddenSize: number;
  /** The lengths that `dimensions` may ask for. */
  readonly matryoshkaDims: readonly number[];
  /** Length of each vector with `returnMultivector`, or `null` where the model has no projector loaded. */
  readonly projectorDim: number | null;
  readonly tasks: readonly string[];
  readonly hasVision: boolean;
  readonly minPixels: number;
  readonly maxPixels: number;
  readonly maxTokens: number;
  /** Most tokens of a text that fits this device; longer ones are refused before they are computed. */
  readonly longestText: number;
  /** Bytes of the files that were read. */
  readonly nBytes: number;
}

export interface EmbedderInfo {
  readonly source: 'local';
  readonly device: DeviceKind;
  /** Why `device: 'auto'` did not take WebGPU; absent where it did, or where the caller chose. */
  readonly deviceFallback?: { readonly code: ErrorCode; readonly message: string };
  readonly adapter: AdapterInfo;
  /** The form of the model's operations: what was measured or fixed for the adapter, `host` on the CPU. */
  readonly kernels: string;
  readonly model: ModelInfo;
  /** Names the weights; a result's `space` begins with it. */
  readonly space: string;
  /** Right after loading. */
  readonly memory: MemoryUse;
  readonly selfTest: SelfTest;
}

/**
 * A loaded model. Calls may overlap; they are answered in the order they were made.
 *
 * A worker that dies or a device that is lost ends the calls under way with a typed error, and the next
 * call loads the model again.
 */
export interface Embedder<I = EmbedderInfo> {
  /** Of the side that serves the calls, as of now. */
  readonly info: I;
  encode<const O extends EncodeOptions>(input: Input, options: O): Promise<SingleEncodeResult<EmbeddingOf<O>>>;
  encode<const O extends EncodeOptions>(inputs: readonly Input[], options: O): Promise<EncodeResult<EmbeddingOf<O>>>;
  memory(): Promise<MemoryUse>;
  /** Frees the device and ends the worker. Calls that still wait reject with `DISPOSED`. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A file of the model: its address, or the file itself. */
export type ModelFile = string | URL | Blob;

/** The files of a model, one by one. */
export interface ModelFiles {
  /** The text model; several parts in order. */
  readonly text: ModelFile | readonly ModelFile[];
  readonly vision?: ModelFile | undefined;
  readonly projector?: ModelFile | undefined;
  readonly adapters?: Readonly<Record<string, ModelFile>> | undefined;
}

/**
 * Where the weights are: the address of a directory with a `model.json`, the address of a GGUF file
 * (`…-00001-of-0000N.gguf` stands for all its parts), a local GGUF file, the files one by one, or the name
 * `'tiny'`, which stands for `/models/tiny/` on the page's own site and `models/tiny` in Node's working
 * directory: put the folder of that name of this project's repository there.
 */
export type ModelSource = string | URL | Blob | ModelFiles;

/** The part of `fetch` that this package calls. */
export type Fetch = (
  url: string,
  init: { readonly signal: AbortSignal; readonly method?: 'GET' | 'HEAD'; readonly headers?: { readonly range: string }; readonly cache?: 'no-store' },
) => Promise<Response>;

/**
 * A place for weights, in pieces of at most 2 MiB. What the names mean is this package's affair; a store
 * keeps a value under its name whole or not at all. Any method may reject: then the load goes on without
 * it, and says so with the event `uncached`.
 */
export interface WeightStore {
  /** The names of all that is kept. */
  names(): Promise<readonly string[]>;
  /** What was put under the name, or `undefined`. `room` is a buffer that it may be read into. */
  get(name: string, room?: Uint8Array): Promise<Uint8Array | undefined>;
  /** Keeps a copy of the bytes. Rejects with an error of the name `QuotaExceededError` where there is no room. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Resolves also where there is nothing of that name. */
  delete(name: string): Promise<void>;
}

/**
 * Where downloaded weights are kept. `'auto'`: in the origin private file system, else in Cache Storage,
 * else nowhere. `false`: nowhere. Or a store of the caller's own.
 */
export type CacheOption = 'auto' | 'opfs' | 'cache-api' | false | WeightStore;

export interface WeightCacheOptions {
  /** Default: `'auto'`. */
  readonly cache?: CacheOption | undefined;
  /** Only what belongs to this model. Default: everything. */
  readonly model?: ModelSource | undefined;
}

/** A file of weights that lies on this device, whole or in part. */
export interface CachedFile {
  readonly name: string;
  /** Where it came from; `null` where that is no longer known. */
  readonly url: string | null;
  /** Of the whole file; `null` where no server told. */
  readonly nBytes: number | null;
  /** Of it on this device. */
  readonly nBytesCached: number;
  /** All of it is here, and was verified. Else the next load of its model goes on from here. */
  readonly complete: boolean;
}

export interface CachedWeights {
  readonly files: readonly CachedFile[];
  /** Of all of them on this device. */
  readonly nBytes: number;
}

export type KernelForm = 'auto' | 'measure' | 'tiled' | 'direct';

export interface CreateOptions {
  readonly model: ModelSource;
  /**
   * `'auto'` (the default) takes WebGPU where an adapter is offered, else the CPU, and says why not. In
   * mode `prefer-local` the default is `'webgpu'`: of the CPU and the hosted API the latter is faster.
   */
  readonly device?: 'auto' | DeviceKind | undefined;
  /** Parts that need not be downloaded. Default: all that the model directory lists. */
  readonly parts?: { readonly images?: boolean | undefined; readonly multivector?: boolean | undefined } | undefined;
  /**
   * The form of the model's operations on WebGPU. `'auto'` (the default) takes what the adapter runs
   * fastest: measured on the first visit and remembered, or `'direct'` where the adapter is a processor.
   * `'measure'` measures anew; `'tiled'` and `'direct'` are the fixed forms for cards and processors, to
   * compare them. The results agree to f32 rounding, and to that of halves where those won.
   */
  readonly kernels?: KernelForm | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /**
   * `false` computes in the calling thread. A `Worker` or the address of one stands in where a bundler
   * loses the worker's file; it must be a fresh one of this package, and belongs to the embedder. A
   * function that makes one is called again where a worker dies; a `Worker` itself stays dead.
   */
  readonly worker?: false | Worker | URL | string | (() => Worker) | undefined;
  /** Stands in for the `.wasm` file next to the script. */
  readonly wasm?: URL | string | BufferSource | WebAssembly.Module | undefined;
  /** Stands in for `fetch`, in the calling thread; the bytes are passed on to the worker. */
  readonly fetch?: Fetch | undefined;
  /**
   * Where downloaded weights are kept, so that they are downloaded once. Default: `'auto'`. The browser is
   * asked to keep them when disk space runs low (`navigator.storage.persist`), which some ask the visitor.
   */
  readonly cache?: CacheOption | undefined;
  /**
   * Milliseconds the worker may stay silent before it has its device ready; then the call rejects with
   * `WORKER_FAILED`. Downloads are not timed. Default: 60,000.
   */
  readonly initTimeout?: number | undefined;
  /**
   * Told the licence of the weights before the first of them is fetched. Left out, it is written to the
   * console, once per model.
   */
  readonly onLicence?: ((licence: Licence) => void) | undefined;
  /**
   * Most bytes of graphics memory that the model may use, weights and work together. A model that does not
   * fit is refused with `OUT_OF_MEMORY` before it is downloaded, and so is a text that is too long, before
   * it is computed. Default: 700 MB on an iPhone, 1.5 GB on other phones and tablets; elsewhere what the
   * device gives when it is asked for all of it.
   */
  readonly gpuBudget?: number | undefined;
  readonly mode?: 'only-local' | undefined;
}

/** Where the model computes, and where else it may. */
export type Mode = 'prefer-local' | 'only-local' | 'prefer-hosted' | 'only-hosted';

/**
 * Options with a hosted API, or a server that speaks it.
 *
 * - `prefer-local` (the default): this device; the hosted API where this device cannot (no WebGPU asked
 *   for by `device`, limits, memory, quota, download, self-test, a device lost twice).
 * - `prefer-hosted`: the hosted API; this device, which loads the model only then, where the API cannot
 *   be reached or does not serve (key, balance, rate limit after the retries, server error, timeout).
 * - `only-local`, `only-hosted` (the default without `model`): that one, or an error.
 *
 * An embedder changes sides at most once. An abort and a bad input are no reason to.
 */
export interface HybridOptions extends Omit<CreateOptions, 'model' | 'mode'> {
  readonly model?: ModelSource | undefined;
  readonly hosted: HostedOptions;
  readonly mode?: Mode | undefined;
  /** Told, before the other side is asked, that the embedder changes to it, and why. */
  readonly onFallback?: ((reason: FallbackReason) => void) | undefined;
}

/** Why an embedder changed sides. */
export interface FallbackReason {
  readonly from: 'local' | 'hosted';
  readonly to: 'local' | 'hosted';
  readonly code: ErrorCode;
  readonly message: string;
  readonly error: EmbedderError;
}

/** The licence of a model's weights; `null` where nothing beside them states it. */
export interface Licence {
  readonly model: string;
  readonly licence: string | null;
}

/**
 * Loading, step by step. First `licence`, before any weight is fetched. For each file: `initiate`, `download`, `progress` …, `upload`, `done`; over all
 * files `progress_total`; at the end `compile`, `selftest` where the model brings vectors that this device
 * has not recomputed yet, and `ready`. A device that is lost on the way begins anew, once. `loaded` never falls, `total` is absent where
 * the size is unknown and else never changes, and the last `progress` of each is 100. `cached` are the
 * bytes of the file that lie on this device already. `uncached` is a warning, told once: the weights are
 * loaded, but not kept, because there is no room (`QUOTA`) or the store failed (`IO`).
 */
export type ProgressEvent =
  | { readonly status: 'licence'; readonly model: string; readonly licence: string | null }
  | { readonly status: 'initiate'; readonly file: string }
  | { readonly status: 'download'; readonly file: string; readonly cached: number }
  | { readonly status: 'progress'; readonly file: string; readonly loaded: number; readonly total?: number; readonly progress?: number }
  | { readonly status: 'upload'; readonly file: string; readonly loaded: number; readonly total: number; readonly progress: number }
  | { readonly status: 'done'; readonly file: string }
  | { readonly status: 'progress_total'; readonly loaded: number; readonly total: number; readonly progress: number }
  | { readonly status: 'uncached'; readonly code: ErrorCode; readonly message: string }
  | { readonly status: 'compile' }
  | { readonly status: 'selftest' }
  | { readonly status: 'ready' };

export interface AvailabilityOptions {
  readonly model?: ModelSource | undefined;
  readonly device?: 'auto' | DeviceKind | undefined;
  readonly parts?: CreateOptions['parts'];
  readonly signal?: AbortSignal | undefined;
  readonly fetch?: Fetch | undefined;
  /** Default: `'auto'`. */
  readonly cache?: CacheOption | undefined;
  /** Default: as in {@link HybridOptions}. */
  readonly mode?: Mode | undefined;
  readonly hosted?: HostedOptions | undefined;
  /** As in {@link CreateOptions}. */
  readonly gpuBudget?: number | undefined;
}

/** What is possible here, asked before any weight is downloaded. */
export interface Availability {
  /** Which side `createEmbedder` with the same options would begin with; `null` where it would fail. */
  readonly source: 'local' | 'hosted' | null;
  /** Where `createEmbedder` with the same options would compute; `null` where it would fail. */
  readonly device: DeviceKind | null;
  readonly webgpu: {
    readonly available: boolean;
    readonly reason?: { readonly code: ErrorCode; readonly message: string };
    readonly adapter?: AdapterInfo;
  };
  readonly wasm: { readonly available: boolean; readonly reason?: { readonly code: ErrorCode; readonly message: string } };
  /** Whether the mode allows the hosted API and nothing known beforehand speaks against it; no request is sent. */
  readonly hosted: { readonly available: boolean; readonly reason?: { readonly code: ErrorCode; readonly message: string } };
  /** The model's name and the licence of its weights. */
  readonly licence?: Licence;
  /** What would be downloaded, and what lies here already; `nBytes` is `null` where a size is not told beforehand. */
  readonly download?: { readonly nFiles: number; readonly nBytes: number | null; readonly nBytesCached: number };
  /** What the model takes of the graphics device, and whether that is there; absent without a `model`. */
  readonly memory?: MemoryStatement & {
    /** `gpuBudget`, or the fixed budget of a phone; `null` where the device was asked instead. */
    readonly budgetBytes: number | null;
    /** `null` where that cannot be told: the size is unknown, or there is no WebGPU to ask. */
    readonly fits: boolean | null;
    readonly reason?: { readonly code: ErrorCode; readonly message: string };
  };
  /** What the browser lets this site store, and what it stores; absent where it does not tell. */
  readonly storage?: { readonly quotaBytes: number; readonly usedBytes: number; readonly isPersistent: boolean };
  /**
   * The last time this model was loaded here, the page ended on the way. Where the hosted API is allowed,
   * this device is left out until a load succeeds or `forgetDevice()` is called.
   */
  readonly crashed?: { readonly since: string };
  /** Why the model's description could not be read. */
  readonly modelError?: EmbedderError;
}
