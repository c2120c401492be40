// `jina-embeddings-web/search`: an index of texts and pictures that lives in the page.

export { createIndex, deleteIndex } from './create-index.js';
export { splitPassages, type Passage, type PassageOptions } from './passages.js';
export { estimateTokens } from './text.js';
export { toNpy } from './npy.js';
export { EmbedderError, isEmbedderError, type ErrorCode } from '../errors.js';
export type {
  ChangeListener, Condition, CreateIndexOptions, DocumentKind, EmbeddedDocument, EmbeddedPassage, ExplainOptions, Explanation, Fields, FieldValue, Filter, FirstStage, Hit, ImageDocument, IndexInfo,
  Ingest, IngestOptions, IngestOutcome, IngestProgress, IngestReport, NpyExport, QdrantExport, QdrantPoint, Scalar, SearchDocument, SearchEmbedder, SearchIndex, SearchMode, SearchOptions, SearchQuery, SearchResult,
  StorageKind, StoredDocument, TextDocument, TextSpan, TokenVectors,
} from './types.js';
