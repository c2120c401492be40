// From options to an embedder that is ready: the mode decides which side is made now, and which one, if
// any, stands by. Where anything fails or is cancelled, nothing is left behind; the next call starts from
// nothing.

import { abortError, EmbedderError, isRecord } from '../errors.js';
import { openWith } from '../fetch-body.js';
import type { HostedClient } from '../hosted/client.js';
import type { HostedInfo, HostedOptions } from '../hosted/types.js';
import { staticBudget } from '../memory-need.js';
import { locateModel } from '../model-files.js';
import { checkCache } from '../weights/check-cache.js';
import { pageAddress } from '../page-address.js';
import type { CreateOptions, Embedder, EmbedderInfo, HybridOptions, Mode, WeightStore } from '../types.js';
import type { WasmSource } from '../wasm-face.js';
import type { OpenRequest } from '../worker/protocol.js';
import { crashOf, modelKey } from './crash-marker.js';
import { RoutedEmbedder } from './embedder.js';
import { callsForFallback, fallbackReason, Route, tell, type Routing } from './fallback.js';
import { licenceNotice } from './licence.js';
import { LocalEngine, type EngineSetup } from './local-engine.js';
import { modeOf } from './mode.js';
import { HostedSide, LocalSide } from './sides.js';

const INIT_TIMEOUT_MS = 60_000;

/**
 * Loads a model in a worker and returns its embedder. With `hosted`, the hosted API stands by or comes
 * first, as `mode` says; see {@link HybridOptions}.
 *
 * Fails with an `EmbedderError`: `DOWNLOAD_FAILED`, `INTEGRITY`, `MODEL_INVALID` and
 * `MODEL_UNSUPPORTED` for the files; `WEBGPU_UNAVAILABLE`, `NO_ADAPTER`, `LIMITS_INSUFFICIENT` and
 * `OUT_OF_MEMORY` for the device, before the download where it can be told then; `DEVICE_LOST` where it is
 * lost twice while loading; `SELFTEST_FAILED` where it computes wrong numbers; `WASM_INIT` and `WORKER_FAILED` for the engine; `INPUT_INVALID` and
 * `HOSTED_KEY_EXPOSED` for the options; or with an `AbortError`. Whatever was loaded by then is freed.
 */
export function createEmbedder(options: HybridOptions): Promise<Embedder<EmbedderInfo | HostedInfo>>;
export function createEmbedder(options: CreateOptions): Promise<Embedder>;
export function createEmbedder(options: CreateOptions | HybridOptions): Promise<Embedder> {
  return makeEmbedder(options, (start) => start()) as Promise<Embedder>;
}

/** The same, with something done around each start of an engine. */
export async function makeEmbedder(options: CreateOptions | HybridOptions, around: EngineSetup['around']): Promise<Embedder<EmbedderInfo | HostedInfo>> {
  const mode = modeOf(options);
  const base = pageAddress();
  const setup = mode === 'only-hosted' ? undefined : engineSetup(options as CreateOptions, mode, base, around);
  const { signal, hosted, onFallback } = options as HybridOptions;
  if (signal?.aborted) throw abortError(signal);
  // Before anything is downloaded: a key in a page is refused, whichever side comes first.
  const client = mode === 'only-local' ? undefined : await hostedClient(hosted);
  const mayBeHosted = client !== undefined;
  const embedder = (routing: Omit<Routing, 'onFallback'>): RoutedEmbedder => new RoutedEmbedder(new Route({ ...routing, onFallback }), base, mayBeHosted);
  const startLocal = async (abort: AbortSignal | undefined): Promise<LocalSide> => {
    if (mayBeHosted) await refuseAfterCrash(setup as EngineSetup);
    return new LocalSide(await LocalEngine.start(setup as EngineSetup, abort));
  };

  if (client !== undefined && mode !== 'prefer-local') {
    return embedder({ side: new HostedSide(client), other: setup === undefined ? undefined : startLocal, changed: undefined });
  }
  try {
    const side = await startLocal(signal);
    return embedder({ side, other: client === undefined ? undefined : async () => new HostedSide(client), changed: undefined });
  } catch (error) {
    if (client === undefined || signal?.aborted || !callsForFallback('local', error)) throw error;
    const changed = fallbackReason('local', error);
    tell(onFallback, changed);
    return embedder({ side: new HostedSide(client), other: undefined, changed });
  }
}

/** A load that ends the page would end it again, at every visit. Where there is no other side it is tried nevertheless. */
async function refuseAfterCrash({ request }: EngineSetup): Promise<void> {
  const crash = await crashOf(modelKey(request.model));
  if (crash === undefined) return;
  const message = `Loading the model here ended the page (begun ${crash.since}); this device is left out until \`forgetDevice()\` or a load without the hosted API`;
  throw new EmbedderError('LOCAL_UNAVAILABLE', message, { data: { since: crash.since } });
}

/** Fetched only where it is wanted. */
async function hostedClient(options: HostedOptions): Promise<HostedClient> {
  const { createHostedEmbedder } = await import('#hosted');
  return createHostedEmbedder(options) as HostedClient;
}

function engineSetup(options: CreateOptions, mode: Mode, base: string | undefined, around: EngineSetup['around']): EngineSetup {
  const notice = licenceNotice(options.onLicence);
  const { fetch, worker, initTimeout, onProgress } = options;
  const request = openRequest(options, mode, base);
  return {
    request,
    worker,
    open: fetch === undefined ? undefined : openWith(fetch),
    store: request.cache === 'page' ? (options.cache as WeightStore) : undefined,
    around,
    initTimeoutMs: initTimeout ?? INIT_TIMEOUT_MS,
    onProgress: (event) => {
      if (event.status === 'licence') notice(event);
      if (event.status === 'download' && event.cached === 0 && request.cache !== false && request.cache !== 'page') askToPersist();
      onProgress?.(event);
    },
  };
}

function openRequest(options: CreateOptions, mode: Mode, base: string | undefined): OpenRequest {
  if (!isRecord(options)) throw new EmbedderError('INPUT_INVALID', 'createEmbedder needs an object with `model`');
  const { device = mode === 'prefer-local' ? 'webgpu' : 'auto', kernels = 'auto', parts, wasm, fetch, initTimeout } = options;
  const gpuBudget = budgetOf(options.gpuBudget);
  if (device !== 'auto' && device !== 'webgpu' && device !== 'wasm') {
    throw new EmbedderError('INPUT_INVALID', `option \`device\` must be "auto", "webgpu" or "wasm", not ${JSON.stringify(device)}`);
  }
  if (kernels !== 'auto' && kernels !== 'measure' && kernels !== 'tiled' && kernels !== 'direct') {
    throw new EmbedderError('INPUT_INVALID', `option \`kernels\` must be "auto", "measure", "tiled" or "direct", not ${JSON.stringify(kernels)}`);
  }
  if (initTimeout !== undefined && !(initTimeout > 0)) {
    throw new EmbedderError('INPUT_INVALID', `option \`initTimeout\` must be a number of milliseconds above 0, not ${String(initTimeout)}`);
  }
  const cache = checkCache(options.cache);
  return {
    model: locateModel(options.model, base),
    device,
    kernels,
    images: parts?.images !== false,
    multivector: parts?.multivector !== false,
    ...(wasm === undefined ? {} : { wasm: wasmSource(wasm, base) }),
    fetch: fetch === undefined ? 'own' : 'page',
    cache: typeof cache === 'object' ? 'page' : cache,
    gpuBudget,
  };
}

let askedToPersist = false;

/** Only a page may ask, and once is enough. Whatever the answer, the weights are kept; refused, the browser may drop them. */
function askToPersist(): void {
  const storage = typeof navigator === 'undefined' ? undefined : (navigator.storage as StorageManager | undefined);
  if (askedToPersist || typeof storage?.persist !== 'function') return;
  askedToPersist = true;
  void storage.persisted().then((isPersisted) => isPersisted || storage.persist()).catch(() => false);
}

/** Fails with `INPUT_INVALID` where the option is no number of bytes. */
export function budgetOf(gpuBudget: number | undefined): number | null {
  if (gpuBudget === undefined) return staticBudget();
  if (!(gpuBudget > 0)) throw new EmbedderError('INPUT_INVALID', `option \`gpuBudget\` must be a number of bytes above 0, not ${String(gpuBudget)}`);
  return gpuBudget;
}

/** An address becomes absolute, since the worker's own is another. */
function wasmSource(wasm: NonNullable<CreateOptions['wasm']>, base: string | undefined): WasmSource {
  if (typeof wasm !== 'string' && !(wasm instanceof URL)) return wasm;
  if (!URL.canParse(wasm, base)) throw new EmbedderError('INPUT_INVALID', `option \`wasm\`: ${JSON.stringify(String(wasm))} is not an address`);
  return new URL(wasm, base).href;
}
