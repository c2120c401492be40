// What the page asks of the engine, as plain data that can be copied to a worker.

import type { DocumentRecord } from '../records.js';
import type { FaceSchema, WasmSource } from '../face.js';
import type { Filter, IndexInfo, Scalar, SearchMode, StorageKind, StoredDocument, Hit } from '../types.js';

export interface OpenRequest {
  readonly name: string;
  readonly storage: 'auto' | StorageKind;
  readonly recover: boolean;
  readonly acceptClose: boolean;
  /** The rest of the schema is known with the first vectors. */
  readonly schema: Pick<FaceSchema, 'metric' | 'firstStage' | 'multivectorStorage'>;
  readonly keywordFields: readonly string[];
  readonly wasm: WasmSource | undefined;
}

export interface PutRequest {
  /** `add` refuses documents that are there. */
  readonly mode: 'add' | 'update';
  readonly records: readonly DocumentRecord[];
  readonly space: string | undefined;
  readonly multivectorSpace: string | undefined;
}

/** What is known of a document, to tell whether it has changed. */
export interface Known {
  readonly contentHash: string;
  readonly detailsHash: string;
}

export interface FindRequest {
  readonly mode: SearchMode;
  readonly text: string | undefined;
  readonly vector: Float32Array | undefined;
  readonly space: string | undefined;
  readonly multivector: Float32Array | undefined;
  readonly multivectorSpace: string | undefined;
  readonly k: number;
  readonly filter: Filter | undefined;
  readonly prefix: boolean;
  readonly exact: boolean;
  readonly candidates: number | undefined;
  readonly weights: { readonly vector: number; readonly keyword: number };
}

export interface ExplainRequest {
  readonly document: string;
  readonly passage: number;
  readonly multivector: Float32Array;
  readonly multivectorSpace: string;
  /** The picture's pixels, and the model's limits for them. */
  readonly image: { readonly width: number; readonly height: number; readonly minPixels?: number; readonly maxPixels?: number } | undefined;
}

export interface ExportedItem {
  readonly document: string;
  readonly passage: number;
  readonly text: string;
  readonly title: string | undefined;
  readonly fields: Record<string, Scalar | string[]>;
  readonly vector: Float32Array | undefined;
  readonly multivector: Float32Array | undefined;
}

/** The engine's calls. */
export interface EngineCalls {
  open(request: OpenRequest): Promise<void>;
  /** Deletes a file, and opens nothing. */
  erase(request: Pick<OpenRequest, 'name' | 'storage'>): Promise<void>;
  known(ids: readonly string[]): Promise<(Known | null)[]>;
  put(request: PutRequest): Promise<void>;
  remove(ids: readonly string[]): Promise<number>;
  find(request: FindRequest): Promise<Hit[]>;
  explain(request: ExplainRequest): Promise<{ rows: number; values: Float32Array; grid: { rows: number; columns: number } | undefined } | undefined>;
  /** Rows and columns of a picture's tokens. */
  grid(image: NonNullable<ExplainRequest['image']>): Promise<{ rows: number; columns: number }>;
  get(id: string): Promise<StoredDocument | undefined>;
  list(request: { offset: number; limit: number; filter: Filter | undefined }): Promise<StoredDocument[]>;
  count(filter: Filter | undefined): Promise<number>;
  info(): Promise<IndexInfo>;
  items(request: { offset: number; limit: number }): Promise<ExportedItem[]>;
  compact(): Promise<void>;
  clear(): Promise<void>;
  exportFile(): Promise<Blob>;
  importFile(file: Blob): Promise<void>;
  close(): Promise<void>;
}
