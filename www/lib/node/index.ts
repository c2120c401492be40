// jina-embeddings-web in Node (and Deno and Bun): the same functions, with what a page has and a server
// lacks put in its place. Importing this does nothing, so a server may import it to render a page.
//
//   worker   none: the model computes in the calling thread, on the CPU, or on a GPU through the optional
//            package `webgpu`
//   wasm     read from this package's own files
//   model    an address, or a path of the file system
//   cache    nothing is kept, but in a store of the caller's own

import { availability as availabilityHere } from '../page/availability.js';
import { makeEmbedder } from '../page/create-embedder.js';
import type { HostedInfo } from '../hosted/types.js';
import type { Availability, AvailabilityOptions, CreateOptions, Embedder, EmbedderInfo, HybridOptions } from '../types.js';
import { withFiles } from './files.js';
import { withWebGpu } from './webgpu.js';

export function createEmbedder(options: HybridOptions): Promise<Embedder<EmbedderInfo | HostedInfo>>;
export function createEmbedder(options: CreateOptions): Promise<Embedder>;
export async function createEmbedder(options: CreateOptions | HybridOptions): Promise<Embedder<EmbedderInfo | HostedInfo>> {
  // What is no object at all is for `createEmbedder` to name.
  if (typeof options !== 'object' || options === null || options.model === undefined) return makeEmbedder(options, (start) => start());
  const complete = { worker: false, cache: false, wasm: new URL('./wasm/jina_embeddings_web_bg.wasm', import.meta.url), ...withFiles(options) } as HybridOptions;
  const onGpu = complete.worker === false && complete.device !== 'wasm';
  return makeEmbedder(await readWasm(complete), onGpu ? withWebGpu : (start) => start());
}

export async function availability(options: AvailabilityOptions = {}): Promise<Availability> {
  const ask = (): Promise<Availability> => availabilityHere(options.model === undefined ? options : { cache: false, ...withFiles(options) });
  return options.device === 'wasm' || options.mode === 'only-hosted' ? ask() : withWebGpu(ask);
}

/** `fetch` opens no files. */
async function readWasm(options: HybridOptions): Promise<HybridOptions> {
  const { wasm } = options;
  if (!(wasm instanceof URL) || wasm.protocol !== 'file:') return options;
  const { readFile } = await import('node:fs/promises');
  return { ...options, wasm: (await readFile(wasm)) as BufferSource };
}

export { cachedWeights, clearWeights } from '../page/weight-cache.js';
export { forgetDevice } from '../page/forget-device.js';
export { compareSpaces } from '../spaces.js';
export { EmbedderError, isEmbedderError } from '../errors.js';
