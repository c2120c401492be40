// The seam to Rust: what `src/edge` exports through wasm-bindgen, as this folder calls it. What the
// search shares with it stands in `../search/face.ts`.

import type { FaceIndex, FaceReader, FaceSchema, Filter } from '../search/face.js';

export interface EdgeFace {
  /** Compiles and starts the module; a second call returns the running instance. */
  default(options: { module_or_path: EdgeWasm }): Promise<unknown>;
  readonly SearchIndex: new (schema: FaceSchema) => EdgeFaceIndex;
  readonly IndexReader: new (options?: { recover?: boolean }) => Omit<FaceReader, 'finish'> & { finish(): EdgeFaceIndex };
  readonly Tokenizer: {
    from_json(bytes: Uint8Array): FaceTokenizer;
    from_gguf(prefix: Uint8Array): FaceTokenizer;
    gguf_bytes_needed(prefix: Uint8Array): number;
  };
  readonly ImagePreprocessor: {
    new (settings?: object): FacePictures;
    from_config_json(bytes: Uint8Array): FacePictures;
  };
  decode_image(bytes: Uint8Array): FacePixels;
}

export type EdgeWasm = URL | string | Response | BufferSource | WebAssembly.Module;

export interface EdgeFaceIndex extends FaceIndex {
  remove_where(filter: Filter): number;
  vectors(offset: number, limit: number): { ids: string[]; values: Float32Array };
}

export interface FaceTokenizer {
  count(text: string, task?: string): number;
  encode(text: string, task?: string): { ids: Uint32Array; starts: Uint32Array; ends: Uint32Array };
  image_tokens(imageTokens: number): number;
  vocab_size(): number;
  free(): void;
}

export interface FacePixels {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
}

export type FacePicture = Uint8Array | { width: number; height: number; rgba: Uint8Array | Uint8ClampedArray };

export interface FacePictures {
  size(width: number, height: number, maxPixels?: number): { width: number; height: number; rows: number; columns: number; tokens: number };
  resize(picture: FacePicture, maxPixels?: number): FacePixels;
  patches(picture: FacePicture, maxPixels?: number): { values: Float32Array; rows: number; columns: number };
  free(): void;
}
