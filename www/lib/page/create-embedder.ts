// From options to a loaded embedder: connect, open, wait. Where anything fails or is cancelled, the
// engine is ended and nothing is left behind; the next call starts from nothing.

import { abortError, EmbedderError, isRecord } from '../errors.js';
import { openWith } from '../fetch-body.js';
import { locateModel } from '../model-files.js';
import { pageAddress } from '../page-address.js';
import type { CreateOptions, Embedder, EmbedderInfo } from '../types.js';
import type { WasmSource } from '../wasm-face.js';
import type { OpenRequest } from '../worker/protocol.js';
import { Client } from './client.js';
import { connect } from './connection.js';
import { LocalEmbedder } from './embedder.js';

const INIT_TIMEOUT_MS = 60_000;

/**
 * Loads a model in a worker and returns its embedder.
 *
 * Fails with an `EmbedderError`: `DOWNLOAD_FAILED`, `INTEGRITY`, `MODEL_INVALID` and
 * `MODEL_UNSUPPORTED` for the files; `WEBGPU_UNAVAILABLE`, `NO_ADAPTER`, `LIMITS_INSUFFICIENT` and
 * `OUT_OF_MEMORY` for the device; `WASM_INIT` and `WORKER_FAILED` for the engine; or with an
 * `AbortError`. Whatever was loaded by then is freed.
 */
export async function createEmbedder(options: CreateOptions): Promise<Embedder> {
  const base = pageAddress();
  const request = openRequest(options, base);
  const { signal, fetch, onProgress } = options;
  if (signal?.aborted) throw abortError(signal);
  const client = new Client(await connect(options.worker), fetch === undefined ? undefined : openWith(fetch));
  try {
    client.watchStart(options.initTimeout ?? INIT_TIMEOUT_MS);
    const info = (await client.request({ type: 'open', request }, { signal, onProgress })) as EmbedderInfo;
    return new LocalEmbedder(client, info, base);
  } catch (error) {
    client.abandon();
    throw error;
  }
}

function openRequest(options: CreateOptions, base: string | undefined): OpenRequest {
  if (!isRecord(options)) throw new EmbedderError('INPUT_INVALID', 'createEmbedder needs an object with `model`');
  const { device = 'auto', kernels = 'auto', parts, wasm, fetch, initTimeout } = options;
  if (device !== 'auto' && device !== 'webgpu' && device !== 'wasm') {
    throw new EmbedderError('INPUT_INVALID', `option \`device\` must be "auto", "webgpu" or "wasm", not ${JSON.stringify(device)}`);
  }
  if (kernels !== 'auto' && kernels !== 'tiled' && kernels !== 'direct') {
    throw new EmbedderError('INPUT_INVALID', `option \`kernels\` must be "auto", "tiled" or "direct", not ${JSON.stringify(kernels)}`);
  }
  if (initTimeout !== undefined && !(initTimeout > 0)) {
    throw new EmbedderError('INPUT_INVALID', `option \`initTimeout\` must be a number of milliseconds above 0, not ${String(initTimeout)}`);
  }
  return {
    model: locateModel(options.model, base),
    device,
    kernels,
    images: parts?.images !== false,
    multivector: parts?.multivector !== false,
    ...(wasm === undefined ? {} : { wasm: wasmSource(wasm, base) }),
    fetch: fetch === undefined ? 'own' : 'page',
  };
}

/** An address becomes absolute, since the worker's own is another. */
function wasmSource(wasm: NonNullable<CreateOptions['wasm']>, base: string | undefined): WasmSource {
  if (typeof wasm !== 'string' && !(wasm instanceof URL)) return wasm;
  if (!URL.canParse(wasm, base)) throw new EmbedderError('INPUT_INVALID', `option \`wasm\`: ${JSON.stringify(String(wasm))} is not an address`);
  return new URL(wasm, base).href;
}
