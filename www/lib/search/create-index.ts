// From options to an open index.

import { abortError, EmbedderError, isRecord } from '../errors.js';
import { connect } from './connection.js';
import type { FaceSchema, WasmSource } from './face.js';
import { IndexClient } from './index-client.js';
import { Caller } from './rpc.js';
import type { CreateIndexOptions, SearchIndex } from './types.js';

/**
 * Opens the index of a name, or makes it.
 *
 * Fails with an `EmbedderError`: `INDEX_INVALID` where its file is damaged (`recover` opens it up to the
 * damage), `INDEX_UNSUPPORTED` where a newer version wrote it, `IO` where the storage is missing,
 * `WASM_INIT` and `WORKER_FAILED` for the engine, `INPUT_INVALID` for an option; or with an `AbortError`.
 */
export async function createIndex(options: CreateIndexOptions = {}): Promise<SearchIndex> {
  check(options);
  const { name = 'default', embedder, storage = 'auto', signal, keywordFields = [], recover = false, acceptClose = false, metric, firstStage, multivectorStorage, wasm } = options;
  if (signal?.aborted) throw abortError(signal);
  const schema: Pick<FaceSchema, 'metric' | 'firstStage' | 'multivectorStorage'> = {
    ...(metric === undefined ? {} : { metric }),
    ...(firstStage === undefined ? {} : { firstStage }),
    ...(multivectorStorage === undefined ? {} : { multivectorStorage }),
  };
  const recipe = {
    dimensions: options.dimensions,
    multivector: options.multivector === true,
    lateChunking: options.lateChunking === true,
    task: options.task ?? 'retrieval',
    passages: options.passages ?? {},
  };
  const connection = await connect(options.worker);
  let index: IndexClient | undefined;
  const caller = new Caller(connection.port, () => index?.changed('other'));
  connection.onDeath((error) => caller.fail(error));
  try {
    await caller.call('open', [{ name, storage, recover, acceptClose, schema, keywordFields, wasm: wasmSource(wasm) }], signal);
  } catch (error) {
    connection.close();
    throw error;
  }
  return (index = new IndexClient({ name, embedder, recipe, metric: metric ?? 'cosine' }, caller, () => connection.close()));
}

/**
 * Deletes the file of an index, also of one that is damaged. An index that is open on it is then empty.
 * Fails with `IO` where the storage is missing.
 */
export async function deleteIndex(options: Pick<CreateIndexOptions, 'name' | 'storage' | 'worker'> = {}): Promise<void> {
  check(options);
  const connection = await connect(options.worker);
  const caller = new Caller(connection.port, () => undefined);
  connection.onDeath((error) => caller.fail(error));
  try {
    await caller.call('erase', [{ name: options.name ?? 'default', storage: options.storage ?? 'auto' }]);
  } finally {
    connection.close();
  }
}

function check(options: CreateIndexOptions): void {
  if (!isObject(options)) throw new EmbedderError('INPUT_INVALID', 'createIndex needs an object of options');
  const oneOf = (name: keyof CreateIndexOptions, allowed: readonly string[]): void => {
    const value = options[name];
    if (value !== undefined && !allowed.includes(value as string)) throw new EmbedderError('INPUT_INVALID', `option \`${name}\` must be one of ${allowed.join(', ')}, not ${JSON.stringify(value)}`);
  };
  oneOf('storage', ['auto', 'opfs', 'indexeddb', 'memory']);
  oneOf('metric', ['cosine', 'dot']);
  oneOf('multivectorStorage', ['float32', 'int8']);
  oneOf('task', ['retrieval', 'text-matching', 'code']);
  const { name, dimensions, embedder, lateChunking, multivector } = options;
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.length > 64)) throw new EmbedderError('INPUT_INVALID', 'option `name` must be a string of 1 to 64 characters');
  if (dimensions !== undefined && !(Number.isSafeInteger(dimensions) && dimensions > 0)) throw new EmbedderError('INPUT_INVALID', `option \`dimensions\` must be a whole number above 0, not ${String(dimensions)}`);
  if (embedder !== undefined && typeof embedder?.encode !== 'function') throw new EmbedderError('INPUT_INVALID', 'option `embedder` must have a method `encode`');
  if (lateChunking === true && multivector === true) throw new EmbedderError('INPUT_INVALID', 'options `lateChunking` and `multivector` exclude each other: multi-vectors hold every token already');
  for (const [option, least] of [['maxTokens', 1], ['overlapTokens', 0]] as const) {
    const value = options.passages?.[option];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) throw new EmbedderError('INPUT_INVALID', `option \`passages.${option}\` must be a whole number of at least ${least}, not ${String(value)}`);
  }
}

const isObject = (value: unknown): boolean => isRecord(value);

/** An address becomes absolute, since the worker's own is another. */
function wasmSource(wasm: CreateIndexOptions['wasm']): WasmSource | undefined {
  if (wasm === undefined || (typeof wasm !== 'string' && !(wasm instanceof URL))) return wasm;
  const base = typeof document !== 'undefined' ? document.baseURI : typeof location === 'undefined' ? undefined : location.href;
  if (!URL.canParse(wasm, base)) throw new EmbedderError('INPUT_INVALID', `option \`wasm\`: ${JSON.stringify(String(wasm))} is not an address`);
  return new URL(wasm, base).href;
}
