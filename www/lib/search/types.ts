// The public types of `jina-embeddings-web/search`.

import type { Embedder, ImageSource, MultiVector } from '../types.js';
import type { PassageOptions } from './passages.js';

/** A value that filters compare. A list of strings is a set of tags. */
export type Scalar = string | number | boolean;
export type FieldValue = Scalar | readonly string[];
/** Names begin with neither `_` nor `$`. */
export type Fields = Readonly<Record<string, FieldValue | null | undefined>>;

/**
 * What one field must be: a value, one of several, within bounds (strings in the order of their bytes),
 * missing (`null`), or not something. A list of strings is a value where it holds it.
 */
export type Condition =
  | Scalar
  | null
  | { readonly in: readonly Scalar[] }
  | { readonly gte?: number | string; readonly gt?: number | string; readonly lte?: number | string; readonly lt?: number | string }
  | { readonly not: Condition };

/**
 * Which documents may be found: every named field must hold its condition. `$id` is the document's id,
 * `$kind` `'text'` or `'image'`; `$and`, `$or` and `$not` join filters.
 */
export interface Filter {
  readonly $and?: readonly Filter[];
  readonly $or?: readonly Filter[];
  readonly $not?: Filter;
  readonly $id?: string | { readonly in: readonly string[] };
  readonly $kind?: DocumentKind;
  readonly [field: string]: Condition | readonly Filter[] | Filter | undefined;
}

export type DocumentKind = 'text' | 'image';

interface DocumentBase {
  /** At most 900 bytes of UTF-8. A document is added, replaced and deleted by it. */
  readonly id: string;
  /** Searched by keyword, and returned. */
  readonly title?: string | undefined;
  /** Stored, returned, filtered on. */
  readonly fields?: Fields | undefined;
}

/** Text of one of three formats, cut into passages that are embedded one by one. */
export type TextDocument = DocumentBase & ({ readonly text: string } | { readonly html: string } | { readonly markdown: string });

/** A picture. `caption` is found by keyword and returned; the vector is the picture's. */
export type ImageDocument = DocumentBase & { readonly image: ImageSource; readonly caption?: string | undefined };

/** A passage whose vectors the caller has. */
export interface EmbeddedPassage {
  readonly text?: string | undefined;
  readonly vector?: Float32Array | undefined;
  readonly multivector?: TokenVectors | undefined;
}

/** One vector per token, as an embedder gives them. */
export type TokenVectors = Pick<MultiVector, 'values' | 'rows' | 'dimensions'>;

/** A document that is embedded already. */
export type EmbeddedDocument = DocumentBase & {
  readonly passages: readonly EmbeddedPassage[];
  readonly kind?: DocumentKind | undefined;
  /** `result.space` of the vectors. */
  readonly space?: string | undefined;
  readonly multivectorSpace?: string | undefined;
};

export type SearchDocument = TextDocument | ImageDocument | EmbeddedDocument;

/** What the index asks of an embedder: every one of this package has it. */
export interface SearchEmbedder extends Pick<Embedder, 'encode'> {
  /** Of its `model` the limits are read, where it has any: `maxTokens`, `minPixels` and `maxPixels`. */
  readonly info?: unknown;
}

export type StorageKind = 'opfs' | 'indexeddb' | 'memory';

/** How vectors are kept and what a search reads first. The full vectors are always kept, and rank what the first stage found. */
export interface FirstStage {
  readonly kind: 'none' | 'float32' | 'int8' | 'binary';
  /** Matryoshka: only so many first numbers of each vector. `'float32'` needs it. */
  readonly dimensions?: number | undefined;
}

export interface CreateIndexOptions {
  /** Names the index on this origin. Default: `'default'`. */
  readonly name?: string | undefined;
  /** Embeds documents and queries. Without it the caller brings vectors, and texts are searched by keyword. */
  readonly embedder?: SearchEmbedder | undefined;
  /**
   * `'auto'` (the default): the origin private file system, IndexedDB where that is missing. `'memory'`
   * keeps nothing. Naming one fails with `IO` where it is missing.
   */
  readonly storage?: 'auto' | StorageKind | undefined;
  /** Length of the single vectors: one of the model's Matryoshka lengths. Default: its full length. */
  readonly dimensions?: number | undefined;
  /** Keep one vector per token too, and rank by MaxSim. Each document is then embedded twice. Default: `false`. */
  readonly multivector?: boolean | undefined;
  readonly metric?: 'cosine' | 'dot' | undefined;
  readonly firstStage?: FirstStage | undefined;
  readonly multivectorStorage?: 'float32' | 'int8' | undefined;
  /** The model's adapter: documents become `<adapter>.passage`, queries `<adapter>.query`. Default: `'retrieval'`. */
  readonly task?: 'retrieval' | 'text-matching' | 'code' | undefined;
  readonly passages?: PassageOptions | undefined;
  /**
   * Embed the passages of a document together, so that each knows what stands around it. They then do
   * not overlap. Default: `false`. Not with `multivector`.
   */
  readonly lateChunking?: boolean | undefined;
  /** Fields that keyword search reads besides titles and texts. */
  readonly keywordFields?: readonly string[] | undefined;
  /**
   * Take vectors of a `close` space (`compareSpaces`) as if they were of the index's own: those of the same
   * model in another precision, such as the hosted one's beside the local one's. Default: `false`.
   */
  readonly acceptClose?: boolean | undefined;
  /** Open a file that is damaged in its middle, up to the damage, instead of failing with `INDEX_INVALID`. */
  readonly recover?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * `false` searches in the calling thread. A `Worker` or the address of one stands in where a bundler
   * loses the worker's file; it must be a fresh one of this package, and belongs to the index.
   */
  readonly worker?: false | Worker | URL | string | undefined;
  /** Stands in for the `.wasm` file next to the script. */
  readonly wasm?: URL | string | BufferSource | WebAssembly.Module | undefined;
}

export type SearchMode = 'vector' | 'keyword' | 'hybrid';

export type SearchQuery =
  | string
  | { readonly text: string }
  | { readonly image: ImageSource }
  | { readonly vector: Float32Array; readonly space: string; readonly multivector?: TokenVectors; readonly multivectorSpace?: string; readonly text?: string };

export interface SearchOptions {
  /** The most documents. Default: 10. */
  readonly k?: number | undefined;
  readonly filter?: Filter | undefined;
  /** Default: `'hybrid'` for texts where there is an embedder, `'keyword'` where there is none, `'vector'` for the others. */
  readonly mode?: SearchMode | undefined;
  /** Rank by MaxSim over the tokens. Default: whether the index keeps them. */
  readonly multivector?: boolean | undefined;
  /** The last word may be the beginning of a longer one. Default: `true`, which suits search as one types. */
  readonly prefix?: boolean | undefined;
  /** Skip the first stage, and compare with every vector. */
  readonly exact?: boolean | undefined;
  /** How many passages the first stage hands on. */
  readonly candidates?: number | undefined;
  /** How much each ranking counts in `'hybrid'`. Default: 1 each. */
  readonly weights?: { readonly vector?: number | undefined; readonly keyword?: number | undefined } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A part of a text, as `slice` takes it. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

export interface Hit {
  /** The document. */
  readonly id: string;
  readonly kind: DocumentKind;
  readonly title?: string;
  readonly fields: Readonly<Record<string, Scalar | string[]>>;
  /** What the hits are ordered by: similarity, keyword score, or the fused score. Higher is better. */
  readonly score: number;
  /** The passage that matched best; of a picture, its caption. */
  readonly passage: {
    readonly index: number;
    readonly text: string;
    /** Where it lies in the document's plain text. */
    readonly start: number;
    readonly end: number;
    /** Where the words of the query stand in `text`. */
    readonly highlights: readonly TextSpan[];
  };
  /** Where the words of the query stand in `title`. */
  readonly titleHighlights: readonly TextSpan[];
  /** The passage's cosine (or dot product, or MaxSim) and its keyword score (BM25), where it has them. */
  readonly scores: { readonly vector?: number; readonly keyword?: number };
}

export interface SearchResult {
  /** Best first, each document once. */
  readonly hits: readonly Hit[];
  readonly mode: SearchMode;
  /** Milliseconds. */
  readonly timings: { readonly embedMs: number; readonly searchMs: number };
}

export interface StoredDocument {
  readonly id: string;
  readonly kind: DocumentKind;
  readonly title?: string;
  readonly fields: Readonly<Record<string, Scalar | string[]>>;
  readonly passages: readonly { readonly text: string; readonly start: number; readonly end: number }[];
}

export interface IngestProgress {
  readonly status: 'running' | 'paused' | 'done';
  /** Documents that are through: indexed, unchanged or failed. */
  readonly done: number;
  /** Known where the documents are given as an array. */
  readonly total?: number;
  readonly indexed: number;
  readonly unchanged: number;
  readonly failed: number;
  /** Passages and pictures that were embedded. */
  readonly embedded: number;
}

export interface IngestReport {
  /** Documents that were new or had changed. */
  readonly indexed: readonly string[];
  readonly unchanged: readonly string[];
  /** Documents that `prune` deleted. */
  readonly pruned: readonly string[];
  /** Documents that could not be indexed, and why; what the index had of them before is still there. */
  readonly failed: readonly { readonly id: string; readonly error: Error }[];
}

export interface IngestOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: IngestProgress) => void) | undefined;
  /** Told of each document when it is through. */
  readonly onDocument?: ((outcome: IngestOutcome) => void) | undefined;
  /** Passages that are embedded together, and about as many that are committed together; a document always is as a whole. Default: 16. */
  readonly batchSize?: number | undefined;
  /** Delete the documents of the index that were not among those given. Default: `false`. */
  readonly prune?: boolean | undefined;
}

export type IngestOutcome =
  | { readonly id: string; readonly status: 'indexed' | 'unchanged' }
  | { readonly id: string; readonly status: 'failed'; readonly error: Error };

/** A run of {@link SearchIndex.ingest}. What it has committed is searchable while it goes on. */
export interface Ingest {
  readonly progress: IngestProgress;
  /** Takes effect after the batch at work. */
  pause(): void;
  resume(): void;
  /** `done` rejects with an `AbortError`; what is committed stays, and a later run skips it. */
  cancel(): void;
  readonly done: Promise<IngestReport>;
}

export interface IndexInfo {
  readonly name: string;
  readonly storage: StorageKind;
  /** `undefined` while the index is empty. */
  readonly space: string | undefined;
  readonly multivectorSpace: string | undefined;
  readonly dimensions: number | undefined;
  readonly multivectorDimensions: number | undefined;
  readonly documents: number;
  readonly passages: number;
  /** Size of the file. */
  readonly fileBytes: number;
  readonly memoryBytes: { readonly vectors: number; readonly firstStage: number; readonly multivectors: number; readonly fields: number; readonly ids: number; readonly total: number; readonly wasm: number };
  /** What opening the file had to leave out: a commit that was cut off by a crash, or, with `recover`, damage. */
  readonly opened: { readonly discardedBytes: number; readonly damage: string | null } | null;
}

/** How well each word of a query fits each token of a document's passage. */
export interface Explanation {
  readonly words: readonly {
    readonly text: string;
    /** Similarity to each of the passage's tokens. */
    readonly scores: Float32Array;
  }[];
  /** For a picture of a known size: its patches are the tokens from `first`, row after row. */
  readonly grid?: { readonly rows: number; readonly columns: number; readonly first: number };
}

export interface ExplainOptions {
  /**
   * The document itself, embedded token by token for this call. Default: the multi-vectors that the index
   * keeps.
   */
  readonly content?: { readonly image: ImageSource } | { readonly text: string } | undefined;
  /** Pixels of the picture, for {@link Explanation.grid}. */
  readonly imageSize?: { readonly width: number; readonly height: number } | undefined;
  readonly passage?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `own`: a call of this object. `other`: another tab or worker committed. */
export type ChangeListener = (change: { readonly source: 'own' | 'other' }) => void;

export interface SearchIndex {
  readonly name: string;
  /** Adds documents, all or none. Fails with `DUPLICATE_ID` where the index has one of the ids. Resolves when they are on the disk. */
  add(documents: SearchDocument | readonly SearchDocument[], options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Adds or replaces documents, all or none. What has not changed since is not embedded again. */
  update(documents: SearchDocument | readonly SearchDocument[], options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Deletes documents; resolves to how many there were. */
  delete(ids: string | readonly string[]): Promise<number>;
  /** Adds or replaces many documents, batch by batch. */
  ingest(documents: Iterable<SearchDocument> | AsyncIterable<SearchDocument>, options?: IngestOptions): Ingest;
  search(query: SearchQuery, options?: SearchOptions): Promise<SearchResult>;
  /** How each word of a query fits each token of a document. Needs `multivector`, or the document's `content`. */
  explain(id: string, query: string, options?: ExplainOptions): Promise<Explanation>;
  get(id: string): Promise<StoredDocument | undefined>;
  /** Documents in the order in which they were added. */
  list(options?: { offset?: number | undefined; limit?: number | undefined; filter?: Filter | undefined }): Promise<StoredDocument[]>;
  count(filter?: Filter): Promise<number>;
  info(): Promise<IndexInfo>;
  onChange(listener: ChangeListener): () => void;
  /** Rewrites the file without what was deleted. Happens by itself when half of it is waste. */
  compact(): Promise<void>;
  /** Deletes every document; the index may then hold vectors of another space. */
  clear(): Promise<void>;
  /** The index as one file, for {@link SearchIndex.import} here or elsewhere. */
  export(): Promise<Blob>;
  /** Replaces the content by an exported file's. */
  import(file: Blob): Promise<void>;
  /** NumPy arrays of the vectors, passage by passage. */
  exportNpy(): Promise<NpyExport>;
  /** The passages in the form in which `@qdrant/js-client-rest` upserts them, batch by batch. */
  exportQdrant(options?: { batchSize?: number | undefined }): Promise<QdrantExport>;
  /** Ends the worker. The file stays. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface NpyExport {
  /** `[n, dimensions]` float32. */
  readonly vectors: Uint8Array<ArrayBuffer> | undefined;
  /** `[rows of all, dimensions]` float32, and where each passage's rows begin and end: `[n + 1]` int64. */
  readonly multivectors: { readonly values: Uint8Array<ArrayBuffer>; readonly offsets: Uint8Array<ArrayBuffer> } | undefined;
  /** Row by row. */
  readonly rows: readonly { readonly id: string; readonly passage: number; readonly text: string; readonly fields: Readonly<Record<string, Scalar | string[]>> }[];
}

export interface QdrantPoint {
  /** A UUID made from the document's id and the passage's number: exporting again overwrites. */
  id: string;
  /** Named vectors: `dense`, and `tokens` as a multivector. */
  vector: { dense?: number[]; tokens?: number[][] };
  payload: Record<string, unknown>;
}

export interface QdrantExport {
  /** For `client.createCollection(name, collection)`. */
  readonly collection: {
    vectors: Record<string, { size: number; distance: 'Cosine' | 'Dot'; multivector_config?: { comparator: 'max_sim' }; hnsw_config?: { m: number } }>;
  };
  /** Each for `client.upsert(name, batch)`. */
  readonly batches: AsyncIterable<{ wait: boolean; points: QdrantPoint[] }>;
}
