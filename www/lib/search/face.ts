// What the search side calls of the edge module (src/search, by wasm-bindgen): vectors, fields and the
// index file. Everything is synchronous, and what it throws is `{ code, message }`; anything else thrown
// is a trap, after which the instance must not be used.

import type { FirstStage, Scalar } from './types.js';

export type { Scalar } from './types.js';

export interface FaceSchema {
  readonly dimensions?: number;
  readonly space?: string;
  readonly multivectorDimensions?: number;
  readonly multivectorSpace?: string;
  readonly metric?: 'cosine' | 'dot';
  readonly firstStage?: FirstStage;
  readonly multivectorStorage?: 'float32' | 'int8';
}

export type FaceFields = Record<string, Scalar | string[]>;

export type Filter =
  | { field: string; equals: Scalar | null }
  | { field: string; in: Scalar[] }
  | { field: string; gte?: number | string; gt?: number | string; lte?: number | string; lt?: number | string }
  | { ids: string[] }
  | { and: Filter[] }
  | { or: Filter[] }
  | { not: Filter };

export interface FaceBatch {
  readonly ids: string[];
  /** `[n, dimensions]`, row after row. */
  readonly vectors?: Float32Array;
  readonly space?: string;
  /** `[rows, multivectorDimensions]` each. */
  readonly multivectors?: (Float32Array | null)[];
  readonly multivectorSpace?: string;
  readonly fields?: (FaceFields | null)[];
}

export interface FaceQuery {
  readonly vector?: Float32Array;
  readonly space?: string;
  readonly multivector?: Float32Array;
  readonly multivectorSpace?: string;
  readonly k: number;
  readonly filter?: Filter;
  readonly exact?: boolean;
  readonly candidates?: number;
  readonly fields?: boolean;
}

export interface FaceHit {
  readonly id: string;
  readonly score: number;
  readonly fields?: FaceFields;
}

export interface FaceItem {
  readonly id: string;
  readonly fields: FaceFields;
  readonly vector?: Float32Array;
  readonly multivector?: Float32Array;
}

export interface FaceStats {
  readonly items: number;
  readonly rows: number;
  readonly pending: number;
  readonly generation: number;
  readonly commits: number;
  readonly committedBytes: number;
  readonly wasmBytes: number;
  readonly bytes: { readonly vectors: number; readonly firstStage: number; readonly multivectors: number; readonly fields: number; readonly ids: number; readonly total: number };
  readonly opened: null | { readonly commits: number; readonly discardedBytes: number; readonly damage: string | null };
}

/** An open index; see `docs/index-format.md` for its file. */
export interface FaceIndex {
  schema(): FaceSchema;
  stats(): FaceStats;
  add(batch: FaceBatch): number;
  upsert(batch: FaceBatch): { added: number; replaced: number };
  set_fields(ids: string[], fields: (FaceFields | null)[]): number;
  remove(ids: string[]): number;
  has(id: string): boolean;
  get(id: string, vectors?: boolean): FaceItem | undefined;
  count(filter?: Filter): number;
  find(filter: Filter | undefined, offset: number, limit: number): FaceItem[];
  search(query: FaceQuery): FaceHit[];
  token_scores(id: string, multivector: Float32Array, multivectorSpace: string): { readonly rows: number; readonly values: Float32Array } | undefined;
  commit(): { readonly offset: number; readonly bytes: Uint8Array } | undefined;
  confirm(): void;
  abandon(): void;
  begin_compaction(): { readonly totalBytes: number };
  compaction_chunk(): Uint8Array | undefined;
  finish_compaction(keep: boolean): void;
  free(): void;
}

export interface FaceReader {
  push(chunk: Uint8Array): void;
  finish(): FaceIndex;
  free(): void;
}

export interface SearchFace {
  readonly SearchIndex: new (schema: FaceSchema) => FaceIndex;
  readonly IndexReader: new (options?: { recover?: boolean }) => FaceReader;
  readonly ImagePreprocessor: new (settings?: { minPixels?: number; maxPixels?: number }) => {
    size(width: number, height: number): { readonly rows: number; readonly columns: number; readonly tokens: number };
    free(): void;
  };
}

export type WasmSource = string | BufferSource | WebAssembly.Module;
export type LoadSearchFace = (wasm: WasmSource | undefined) => Promise<SearchFace>;
