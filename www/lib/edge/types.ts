// The public types of `jina-embeddings-web/edge`. No code.

import type { FacePicture, FacePixels } from './face.js';
import type { FaceFields, FaceSchema, Filter, Scalar } from '../search/face.js';
import type { HostedOptions } from '../hosted/types.js';
import type { FallbackReason, Mode, Task } from '../types.js';

export type { Filter, Scalar };

/** What an index holds; see `jina-embeddings-web/search` for each part. */
export type EdgeIndexSchema = FaceSchema;
export type EdgeFields = FaceFields;

/** Items to be added: all of them, or none. */
export interface EdgeItems {
  /** 1 to 1024 bytes each, none twice. */
  readonly ids: readonly string[];
  /** One vector for each id, as `encode` gives them, or `[n, dimensions]` in one array. */
  readonly vectors?: Float32Array | readonly Float32Array[] | undefined;
  /** The `space` of the result that the vectors came in. */
  readonly space?: string | undefined;
  /** For each id the vectors of its tokens, `[rows, dimensions]`; `null` for an item without. */
  readonly multivectors?: readonly (Float32Array | null)[] | undefined;
  readonly multivectorSpace?: string | undefined;
  readonly fields?: readonly (EdgeFields | null)[] | undefined;
}

export interface EdgeQuery {
  readonly vector?: Float32Array | undefined;
  readonly space?: string | undefined;
  /** The vectors of the query's tokens, `[rows, dimensions]`. */
  readonly multivector?: Float32Array | undefined;
  readonly multivectorSpace?: string | undefined;
  /** How many hits. Default: 10. */
  readonly k?: number | undefined;
  readonly filter?: Filter | undefined;
  /** `true`: without a first stage. */
  readonly exact?: boolean | undefined;
  /** How many items the first stage hands on. */
  readonly candidates?: number | undefined;
}

export interface EdgeHit {
  readonly id: string;
  readonly score: number;
  readonly fields: EdgeFields;
}

/** An index in memory. It reads and writes the files of `jina-embeddings-web/search`. */
export interface EdgeIndex {
  readonly schema: EdgeIndexSchema;
  /** Number of items. */
  readonly size: number;
  /** Fails with `DUPLICATE_ID` where an id is there. */
  add(items: EdgeItems): void;
  /** Replaces what has the same id. */
  upsert(items: EdgeItems): { added: number; replaced: number };
  /** How many there were. */
  remove(ids: readonly string[]): number;
  removeWhere(filter: Filter): number;
  get(id: string): { readonly id: string; readonly fields: EdgeFields; readonly vector?: Float32Array; readonly multivector?: Float32Array } | undefined;
  /** Best first. */
  search(query: EdgeQuery): EdgeHit[];
  /** The whole index as a file, in pieces: one after the other they are what {@link Edge.openIndex} takes. */
  file(): Iterable<Uint8Array>;
  /** Frees its memory; it cannot be used any more. */
  free(): void;
}

export interface EdgeTokenizer {
  readonly vocabularySize: number;
  /** Tokens of a text; with `task` as the model reads it, prefix included. */
  count(text: string, options?: { readonly task?: Task | undefined }): number;
  /** With where each token begins and ends in the text, in UTF-16 units; those of the prefix are empty. */
  encode(text: string, options?: { readonly task?: Task | undefined }): { ids: Uint32Array; starts: Uint32Array; ends: Uint32Array };
  /** Tokens of a picture that {@link EdgePictures.size} gives this many, with those around it. */
  countPicture(tokens: number): number;
  free(): void;
}

/** The bytes of a file (PNG, JPEG, WebP, GIF, BMP), or pixels. */
export type EdgePicture = FacePicture;
export type EdgePixels = FacePixels;

export interface EdgePictures {
  /** What the model sees of a picture of this size: pixels, and rows and columns of tokens. */
  size(width: number, height: number, options?: { readonly maxPixels?: number | undefined }): { width: number; height: number; rows: number; columns: number; tokens: number };
  /** The pixels that the model sees. */
  resize(picture: EdgePicture, options?: { readonly maxPixels?: number | undefined }): EdgePixels;
  /** The normalised patches that the model reads, `[rows * columns, values]`. */
  patches(picture: EdgePicture, options?: { readonly maxPixels?: number | undefined }): { values: Float32Array; rows: number; columns: number };
  free(): void;
}

/** A model's picture settings; what is left out is as in jina-embeddings-v4. */
export interface EdgePictureSettings {
  readonly patchSize?: number;
  readonly mergeSize?: number;
  readonly temporalPatchSize?: number;
  readonly minPixels?: number;
  readonly maxPixels?: number;
  readonly imageMean?: readonly [number, number, number];
  readonly imageStd?: readonly [number, number, number];
}

/** What needs no model: search, tokeniser, pictures. Everything is synchronous. */
export interface Edge {
  createIndex(schema: EdgeIndexSchema): EdgeIndex;
  /** Opens the file of an index. A damaged one is `INDEX_INVALID`; `recover` opens what comes before the damage. */
  openIndex(file: Uint8Array | Iterable<Uint8Array>, options?: { readonly recover?: boolean | undefined }): EdgeIndex;
  /** Reads a `tokenizer.json`, or the header of a GGUF file of the text model. */
  openTokenizer(file: Uint8Array): EdgeTokenizer;
  /** Picture settings: jina-embeddings-v4's, others, or those of a `preprocessor_config.json`. */
  openPictures(settings?: EdgePictureSettings | Uint8Array): EdgePictures;
  decodePicture(file: Uint8Array): EdgePixels;
}

export interface EdgeOptions {
  /** The module, compiled or not, or its address. Needed where it is not found by itself. */
  readonly wasm?: URL | string | Response | BufferSource | WebAssembly.Module | undefined;
}

/** Options of the embedder of an edge worker, which computes nothing itself. */
export interface EdgeEmbedderOptions {
  readonly hosted: HostedOptions;
  /** Default: `only-hosted`. `prefer-local` is told by `onFallback`, `only-local` is an error. */
  readonly mode?: Mode | undefined;
  readonly onFallback?: ((reason: FallbackReason) => void) | undefined;
}
