// A model directory on a real HTTP server that breaks, loaded as the engine loads files, into a store; the loader of the
// wasm face is a stand-in that hashes what it is given. Pieces have 64 KiB here, so that a file has several.

import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { after } from 'node:test';
import { Guard } from '../../../www/lib/engine/guard.js';
import { loadFiles } from '../../../www/lib/engine/load-files.js';
import { openWith } from '../../../www/lib/fetch-body.js';
import { planModel } from '../../../www/lib/plan-model.js';
import type { ProgressEvent } from '../../../www/lib/types.js';
import type { WasmDevice, WasmModelLoader } from '../../../www/lib/wasm-face.js';
import { cachedWeights, descriptionsIn, remoteFacts } from '../../../www/lib/weights/index.js';
import { memoryStore, partedStore, type MemoryStore } from './memory-store.js';
import { bytesOf, serveFiles, sha256, type Answer, type ModelServer } from './model-server.js';
import { ranged, type Asked, type Fault } from './range-server.js';

export const PIECE = 1 << 16;
/** What a hash of model.json is of. */
const HASHED = PIECE / 4;
export const PARTS = { 'text-1.gguf': bytesOf(5 * PIECE + 777, 1), 'text-2.gguf': bytesOf(2 * PIECE, 2), 'vision.gguf': bytesOf(1234, 3) };
export type Part = keyof typeof PARTS;
export const NAMES = Object.keys(PARTS) as Part[];

/** Whether the model.json tells the hashes of pieces, and whether servers know ranges. */
export interface Kind { readonly pieces: boolean; readonly ranges: boolean }

export interface Model {
  readonly url: string;
  /** What goes wrong with the next answers. */
  fault: ((name: Part, asked: Asked, n: number) => Fault | undefined) | undefined;
  readonly asked: (Asked & { readonly name: Part })[];
  parts: Record<Part, Uint8Array>;
}

export const servers: ModelServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

export const manifest = (parts: Record<Part, Uint8Array>, { pieces }: Kind): string => {
  const files = NAMES.map((path) => {
    const bytes = parts[path];
    const hashes = Array.from({ length: Math.ceil(bytes.length / HASHED) }, (_, i) => sha256(bytes.subarray(i * HASHED, (i + 1) * HASHED)));
    return { path, role: path.startsWith('text') ? 'text' : 'vision', n_bytes: bytes.length, sha256: sha256(bytes), ...(pieces ? { pieces: { n_bytes: HASHED, sha256: hashes } } : {}) };
  });
  return JSON.stringify({ format: 'jina-embeddings-web', format_version: 1, name: 'tiny', files });
};

export async function serveModel(kind: Kind): Promise<Model> {
  const asked: Model['asked'] = [];
  const answer = (name: Part): Answer => (request, response) => {
    const served = ranged(model.parts[name], {
      ranges: kind.ranges,
      fault: (each) => {
        asked.push({ ...each, name });
        return model.fault?.(name, each, asked.length - 1);
      },
    }) as Extract<Answer, (...given: never) => void>;
    served(request, response);
  };
  const server = await serveFiles({ 'model.json': (_, response) => void response.end(manifest(model.parts, kind)), ...Object.fromEntries(NAMES.map((name) => [name, answer(name)])) });
  servers.push(server);
  const model: Model = { url: server.url, fault: undefined, asked, parts: { ...PARTS } };
  return model;
}

export const DEVICE = { gpu_device: () => undefined } as unknown as WasmDevice;

/** Takes files as the wasm loader does, and tells their hashes. */
export class HashingLoader implements Pick<WasmModelLoader, 'begin_file' | 'push' | 'end_file'> {
  readonly hashes: string[] = [];
  #hash: Hash | undefined;
  begin_file(): void { this.#hash = createHash('sha256'); }
  push(chunk: Uint8Array): void { this.#hash?.update(chunk); }
  end_file(): void { this.hashes.push(this.#hash?.digest('hex') ?? ''); }
}

interface LoadOptions { readonly signal?: AbortSignal; readonly onProgress?: (event: ProgressEvent) => void; readonly onSlice?: (n: number) => void }

/** Loads the model as the engine does, and returns the events. Fails unless every byte arrived as it was served. */
export async function load(model: Model, store: MemoryStore, { signal = new AbortController().signal, onProgress, onSlice }: LoadOptions = {}): Promise<ProgressEvent[]> {
  const events: ProgressEvent[] = [];
  const open = openWith((url, init) => fetch(url, init));
  const plan = await planModel({ kind: 'directory', url: model.url }, { images: true, multivector: true }, open, signal, descriptionsIn(store));
  const files = plan.files.map((file) => ({ ...file, pieceBytes: PIECE }));
  const loader = new HashingLoader();
  let n = 0;
  const counting = Object.assign(Object.create(loader) as HashingLoader, {
    begin_file: () => loader.begin_file(), end_file: () => loader.end_file(),
    push: (chunk: Uint8Array) => (onSlice?.(n++), loader.push(chunk)),
  });
  await loadFiles(files, await remoteFacts(files, open, signal), counting as unknown as WasmModelLoader, DEVICE, {
    guard: new Guard(() => undefined), open, signal, store, isBrowsersStore: false, folder: model.url, retryPauseMs: 0,
    onProgress: (event) => (events.push(event), onProgress?.(event)),
  });
  assert.deepEqual(loader.hashes, plan.files.map(({ name }) => sha256(model.parts[name as Part])));
  return events;
}

/** Fails unless every file of the model is kept whole, and nothing else is. */
export async function isWhole(model: Model, store: MemoryStore): Promise<void> {
  const { files, nBytes } = await cachedWeights({ cache: store }, undefined);
  assert.deepEqual(files.map(({ url, complete }) => [url, complete]).sort(), NAMES.map((name) => [model.url + name, true]).sort());
  assert.equal(nBytes, NAMES.reduce((sum, name) => sum + model.parts[name].length, 0));
  assert.deepEqual([...store.kept.keys()].filter((name) => name.endsWith('.new')), [], 'nothing is left half-written');
  const before = model.asked.length;
  await load(model, store);
  assert.equal(model.asked.length, before, 'a whole cache asks no server');
}

export const isEmpty = async (store: MemoryStore): Promise<void> => assert.deepEqual((await cachedWeights({ cache: store }, undefined)).files, []);

interface NamedKind extends Kind {
  readonly named: string;
  readonly store: () => MemoryStore;
}

export const KINDS: readonly NamedKind[] = [
  { named: 'with hashes of pieces, from a server with ranges', pieces: true, ranges: true, store: memoryStore },
  { named: 'with hashes of files, from a server with ranges', pieces: false, ranges: true, store: memoryStore },
  { named: 'with hashes of files, from a server without ranges', pieces: false, ranges: false, store: memoryStore },
  { named: 'with hashes of pieces, from a server with ranges, in segments', pieces: true, ranges: true, store: partedStore },
  { named: 'with hashes of files, from a server without ranges, in segments', pieces: false, ranges: false, store: partedStore },
];
