// The objects of `jina-embeddings-web/edge` over the WebAssembly module.

import { EmbedderError, reasonOf } from '../errors.js';
import { Guard } from '../search/engine/guard.js';
import type { EdgeFace, EdgeWasm } from './face.js';
import { SearchIndex } from './search-index.js';
import type { Edge, EdgePictures, EdgePictureSettings, EdgeTokenizer } from './types.js';

const EXPORTS = ['default', 'SearchIndex', 'IndexReader', 'Tokenizer', 'ImagePreprocessor', 'decode_image'] as const;

/** Fails with `WASM_INIT` where the module cannot be fetched, compiled or started, or is another version's. */
export async function startEdge(module: EdgeFace, wasm: () => EdgeWasm | Promise<EdgeWasm>): Promise<Edge> {
  try {
    for (const name of EXPORTS) {
      if (typeof module[name] !== 'function') throw new TypeError(`the module does not export ${name}`);
    }
    await module.default({ module_or_path: await wasm() });
  } catch (cause) {
    throw new EmbedderError('WASM_INIT', `The edge module could not be started: ${reasonOf(cause)}`, { cause });
  }
  // One instance, so one guard: after a trap none of its objects may be called.
  const guard = new Guard();
  return {
    createIndex: (schema) => new SearchIndex(guard, guard.call(() => new module.SearchIndex(schema))),
    openIndex(file, { recover = false } = {}) {
      const pieces = file instanceof Uint8Array ? pieceByPiece(file) : file;
      const reader = guard.call(() => new module.IndexReader({ recover }));
      try {
        for (const piece of pieces) guard.call(() => reader.push(piece));
      } catch (error) {
        reader.free();
        throw error;
      }
      return new SearchIndex(guard, guard.call(() => reader.finish()));
    },
    openTokenizer: (file) => tokenizer(guard, module, file),
    openPictures: (settings) => pictures(guard, module, settings),
    decodePicture: (file) => guard.call(() => module.decode_image(file)),
  };
}

/** A large file enters the module in parts, so that it is never there twice. */
function* pieceByPiece(file: Uint8Array): Iterable<Uint8Array> {
  const step = 4 << 20;
  for (let at = 0; at < file.length; at += step) yield file.subarray(at, at + step);
}

function tokenizer(guard: Guard, { Tokenizer }: EdgeFace, file: Uint8Array): EdgeTokenizer {
  // "GGUF"; no JSON begins so.
  const isGguf = file[0] === 0x47 && file[1] === 0x47 && file[2] === 0x55 && file[3] === 0x46;
  const inner = guard.call(() => (isGguf ? Tokenizer.from_gguf(file) : Tokenizer.from_json(file)));
  return {
    vocabularySize: guard.call(() => inner.vocab_size()),
    count: (text, { task } = {}) => guard.call(() => inner.count(text, task)),
    encode: (text, { task } = {}) => guard.call(() => inner.encode(text, task)),
    countPicture: (tokens) => guard.call(() => inner.image_tokens(tokens)),
    free: () => guard.call(() => inner.free()),
  };
}

function pictures(guard: Guard, { ImagePreprocessor }: EdgeFace, settings: EdgePictureSettings | Uint8Array = {}): EdgePictures {
  const inner = guard.call(() => (settings instanceof Uint8Array ? ImagePreprocessor.from_config_json(settings) : new ImagePreprocessor(settings)));
  return {
    size: (width, height, { maxPixels } = {}) => guard.call(() => inner.size(width, height, maxPixels)),
    resize: (picture, { maxPixels } = {}) => guard.call(() => inner.resize(picture, maxPixels)),
    patches: (picture, { maxPixels } = {}) => guard.call(() => inner.patches(picture, maxPixels)),
    free: () => guard.call(() => inner.free()),
  };
}
