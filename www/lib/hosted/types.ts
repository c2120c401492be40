// The public types of the hosted client. No code.

import type { InputError } from '../errors.js';
import type { EncodeProgress, EncodeTimings, Input, MultiVector, Task } from '../types.js';

/** The models of `/v1/embeddings` whose options this client knows. Others are passed on as they are. */
export type HostedModel = 'jina-embeddings-v4' | 'jina-embeddings-v3' | 'jina-clip-v2' | 'jina-code-embeddings-0.5b' | 'jina-code-embeddings-1.5b';

/** What the vectors are for; each model has its own list. */
export type HostedTask =
  | Task
  | 'classification'
  | 'separation'
  | `${'nl2code' | 'qa' | 'code2code' | 'code2nl' | 'code2completion'}.${'query' | 'passage'}`;

/** A PDF file: its address, its base64 text, or its bytes. */
export type PdfSource = string | URL | Blob | ArrayBuffer | Uint8Array;

/**
 * One thing to embed. Addresses of pictures and PDFs are passed on for the server to fetch, except those
 * of the page's own origin and `blob:` addresses, which the page fetches. A PDF comes alone in a call.
 */
export type HostedInput = Input | { readonly pdf: PdfSource };

/**
 * The form of the vectors.
 *
 * - `float`: `Float32Array`
 * - `base64`: a string, the base64 text of little-endian 32-bit floats
 * - `binary`, `ubinary`: one bit per dimension (1 where the value is above 0, most significant bit first),
 *   as an `Int8Array` of the bytes minus 128, or a `Uint8Array` of the bytes
 */
export type EmbeddingType = 'float' | 'base64' | 'binary' | 'ubinary';

/** The part of `fetch` that the hosted client calls. */
export type HostedFetch = (
  url: string,
  init: { readonly method: 'POST'; readonly headers: Readonly<Record<string, string>>; readonly body: string; readonly signal: AbortSignal },
) => Promise<Response>;

export interface HostedOptions {
  /** Sent as a bearer token, and nowhere else to be found. Leave it out where `baseURL` is one's own proxy. */
  readonly apiKey?: string | undefined;
  /** The address before `/embeddings`, relative to the page. Default: `https://api.jina.ai/v1`. */
  readonly baseURL?: string | URL | undefined;
  /** Default: `jina-embeddings-v4`. */
  readonly model?: HostedModel | (string & {}) | undefined;
  /** Allows `apiKey` in a page, where every visitor can read it. Default: `false`, which refuses it. */
  readonly dangerouslyAllowBrowser?: boolean | undefined;
  /** Sent with each request. Their values are treated as secrets, as the key is. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Stands in for `fetch`. */
  readonly fetch?: HostedFetch | undefined;
  /** Milliseconds for one attempt, answer included. Default: 60,000. */
  readonly timeout?: number | undefined;
  /** Further attempts after 408, 409, 429, 5xx, a timeout or a broken connection. Default: 2. */
  readonly maxRetries?: number | undefined;
  /** Inputs per request, at most 2,048. Default: 256. */
  readonly batchSize?: number | undefined;
  /** Bytes per request that batches are filled up to; one larger input still goes alone. Default: 16 MiB. */
  readonly batchBytes?: number | undefined;
  /** Requests under way at a time. Default: 4. */
  readonly concurrency?: number | undefined;
  /**
   * Names the weights that the server computes with. Default: `hosted/` and the model's name, whatever
   * `baseURL` is, since a proxy changes no vector. A server of one's own with other weights needs its own
   * name: the `space` of its `model.json`.
   */
  readonly space?: string | undefined;
}

export interface HostedEncodeOptions {
  /** Default: the model's own (`text-matching` for v4). */
  readonly task?: HostedTask | undefined;
  /** Length of each vector. */
  readonly dimensions?: number | undefined;
  /** Default: `float`. A list gives one record per input, with the forms by name. */
  readonly embeddingType?: EmbeddingType | readonly EmbeddingType[] | undefined;
  /** `false`: vectors as they come out of the model (v3 and CLIP only). Default: length 1. */
  readonly normalized?: boolean | undefined;
  /** `true`: an input above the model's limit is cut, instead of an error. Default: `false`. */
  readonly truncate?: boolean | undefined;
  /** Reads all texts as one document, and pools one vector per text (v4 and v3). They go in one request. */
  readonly lateChunking?: boolean | undefined;
  /** One vector per token instead of one per input (v4). */
  readonly returnMultivector?: boolean | undefined;
  /** The tokens of those vectors, as text, in `tokenizedInputs`. */
  readonly returnTokenizedInput?: boolean | undefined;
  /** Cancels the call, whatever it waits for: it rejects with an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
  /** Told how many of the inputs are done. */
  readonly onProgress?: ((progress: EncodeProgress) => void) | undefined;
  /**
   * `'throw'` (the default): one bad input rejects the call. `'null'`: its place in `embeddings` is
   * `null`, and `errors` says why; a request that the server refuses is halved until the bad one is found.
   */
  readonly onInputError?: 'throw' | 'null' | undefined;
}

interface Forms {
  readonly float: Float32Array;
  readonly base64: string;
  readonly binary: Int8Array;
  readonly ubinary: Uint8Array;
}
interface MultiForms {
  readonly float: MultiVector;
  /** One string per token. */
  readonly base64: readonly string[];
  readonly binary: MultiVector<Int8Array>;
  readonly ubinary: MultiVector<Uint8Array>;
}
type OptionOf<O, K extends keyof HostedEncodeOptions> = K extends keyof O ? O[K] : undefined;
type FormOf<F, T> = T extends keyof F ? F[T] : T extends undefined ? F[keyof F & 'float'] : T extends readonly (infer U)[] ? { readonly [K in U & keyof F]: F[K] } : never;

/** What one input becomes under the options `O`. */
export type HostedEmbeddingOf<O extends HostedEncodeOptions> =
  | ([OptionOf<O, 'returnMultivector'>] extends [true]
      ? FormOf<MultiForms, OptionOf<O, 'embeddingType'>>
      : [OptionOf<O, 'returnMultivector'>] extends [false | undefined]
        ? FormOf<Forms, OptionOf<O, 'embeddingType'>>
        : FormOf<Forms, OptionOf<O, 'embeddingType'>> | FormOf<MultiForms, OptionOf<O, 'embeddingType'>>)
  | ([OptionOf<O, 'onInputError'>] extends ['throw' | undefined] ? never : null);

/** What a call with a list of inputs returns. */
export interface HostedResult<E = Float32Array> {
  /** In the order of the inputs; of a PDF, one for each vector that the server answers with. */
  readonly embeddings: E[];
  /** Length of each vector. */
  readonly dimensions: number;
  /** Names model, adapter, pooling and length. Only vectors of one space may be compared. */
  readonly space: string;
  readonly source: 'hosted';
  /** Always `null`: nothing was computed here. */
  readonly device: null;
  /** The model that the server says it used. */
  readonly model: string;
  /** Summed over all requests of the call, as the server counts. */
  readonly usage: { readonly tokens: number; readonly promptTokens: number; readonly images: number; readonly requests: number };
  readonly errors: readonly InputError[];
  readonly timings: EncodeTimings;
  /** With `returnTokenizedInput`: the tokens of each input. */
  readonly tokenizedInputs?: readonly (readonly string[] | null)[];
}

/** What a call with a single input returns: the same, and the one embedding by itself. */
export interface HostedSingleResult<E = Float32Array> extends HostedResult<E> {
  readonly embedding: E;
}

export interface HostedInfo {
  readonly source: 'hosted';
  readonly model: { readonly name: string };
  /** Without credentials and query. */
  readonly baseURL: string;
  /** Names the weights; a result's `space` begins with it. */
  readonly space: string;
}

/** A client of the hosted API. Calls may overlap. */
export interface HostedEmbedder {
  readonly info: HostedInfo;
  encode(input: HostedInput): Promise<HostedSingleResult>;
  encode<const O extends HostedEncodeOptions>(input: HostedInput, options: O): Promise<HostedSingleResult<HostedEmbeddingOf<O>>>;
  encode(inputs: readonly HostedInput[]): Promise<HostedResult>;
  encode<const O extends HostedEncodeOptions>(inputs: readonly HostedInput[], options: O): Promise<HostedResult<HostedEmbeddingOf<O>>>;
  /** Calls under way and later ones reject with `DISPOSED`. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The facts in `data` of a `HOSTED_*` error, as far as the answer tells them. */
export interface HostedErrorData {
  readonly status?: number;
  /** The server's own code, such as `AUTHZ_INSUFFICIENT_BALANCE`. */
  readonly code?: string;
  readonly requestId?: string;
  /** What the server asked to wait before the next attempt. */
  readonly retryAfterMs?: number;
  readonly attempts?: number;
  /** The fields that a validation error names. */
  readonly fields?: readonly { readonly field: string; readonly message: string }[];
}

