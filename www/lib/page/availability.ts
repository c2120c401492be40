// What is possible here, before anything is downloaded but the model's description.

import { abortError, EmbedderError, isEmbedderError, reasonOf, type ErrorCode } from '../errors.js';
import type { HostedOptions } from '../hosted/types.js';
import { requireAdapter } from '../engine/device.js';
import { openWith } from '../fetch-body.js';
import { locateModel } from '../model-files.js';
import { pageAddress } from '../page-address.js';
import { planModel } from '../plan-model.js';
import type { AdapterInfo, Availability, AvailabilityOptions } from '../types.js';
import { checkCache } from '../weights/check-cache.js';

/**
 * Tells where `createEmbedder` with the same options would compute, and what it would download. WebGPU is
 * asked for an adapter in the page; a worker may, in rare browsers, have none where the page has one.
 *
 * Rejects only with an `AbortError`.
 */
export async function availability(options: AvailabilityOptions = {}): Promise<Availability> {
  const mode = options.mode ?? (options.hosted === undefined ? 'only-local' : options.model === undefined ? 'only-hosted' : 'prefer-local');
  const { device = mode === 'prefer-local' ? 'webgpu' : 'auto', signal = new AbortController().signal } = options;
  if (signal.aborted) throw abortError(signal);
  const webgpu = await probeWebGpu();
  const wasm = probeWasm();
  const onWebGpu = device !== 'wasm' && webgpu.available;
  const onWasm = device !== 'webgpu' && wasm.available;
  const hosted = mode === 'only-local' ? { available: false } : await probeHosted(options.hosted);
  const isLocal = mode !== 'only-hosted' && wasm.available && (onWebGpu || onWasm);
  const source = mode.endsWith('local') ? (isLocal ? 'local' : hosted.available ? 'hosted' : null) : hosted.available ? 'hosted' : isLocal ? 'local' : null;
  return {
    source,
    // Both devices are driven by the same WebAssembly module.
    device: !wasm.available ? null : onWebGpu ? 'webgpu' : onWasm ? 'wasm' : null,
    webgpu,
    wasm,
    hosted,
    ...(await probeModel(options, signal)),
  };
}

function reason(error: unknown, code: ErrorCode): { code: ErrorCode; message: string } {
  return { code: isEmbedderError(error) ? error.code : code, message: reasonOf(error) };
}

async function probeWebGpu(): Promise<Availability['webgpu']> {
  try {
    return { available: true, adapter: describe(await requireAdapter()) };
  } catch (error) {
    return { available: false, reason: reason(error, 'WEBGPU_UNAVAILABLE') };
  }
}

function describe(adapter: GPUAdapter): AdapterInfo {
  const { vendor, architecture, description, device } = adapter.info;
  return {
    name: description || device || architecture || vendor,
    vendor,
    architecture,
    description,
    isFallbackAdapter: adapter.info.isFallbackAdapter ?? false,
    shaderF16: adapter.features.has('shader-f16'),
    maxBufferBytes: adapter.limits.maxBufferSize,
    maxBindingBytes: adapter.limits.maxStorageBufferBindingSize,
  };
}

function probeWasm(): Availability['wasm'] {
  if (typeof WebAssembly === 'object') return { available: true };
  return { available: false, reason: { code: 'WASM_INIT', message: 'There is no WebAssembly here' } };
}

/** What can be told without a request: whether the options hold, and whether the browser says it is offline. */
async function probeHosted(options: HostedOptions | undefined): Promise<Availability['hosted']> {
  if (options === undefined) return { available: false, reason: { code: 'INPUT_INVALID', message: 'the option `hosted` is missing' } };
  try {
    const { createHostedEmbedder } = await import('#hosted');
    await createHostedEmbedder(options).dispose();
  } catch (error) {
    return { available: false, reason: reason(error, 'INTERNAL') };
  }
  const offline = (globalThis as { navigator?: { onLine?: boolean } }).navigator?.onLine === false;
  return offline ? { available: false, reason: { code: 'HOSTED_UNREACHABLE', message: 'The browser says that it is offline' } } : { available: true };
}

async function probeModel(options: AvailabilityOptions, signal: AbortSignal): Promise<Pick<Availability, 'download' | 'licence' | 'modelError'>> {
  if (options.model === undefined) return {};
  try {
    const open = openWith(options.fetch ?? ((url, init) => fetch(url, init)));
    const wanted = { images: options.parts?.images !== false, multivector: options.parts?.multivector !== false };
    const { descriptionsIn, downloadOf, openWeightStore } = await import('#weights');
    const store = await openWeightStore(checkCache(options.cache));
    const kept = store && { get: descriptionsIn(store).get };
    const plan = await planModel(locateModel(options.model, pageAddress()), wanted, open, signal, kept);
    return { download: await downloadOf(plan.files, store, open, signal), licence: { model: plan.name, licence: plan.licence ?? null } };
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    return { modelError: isEmbedderError(error) ? error : new EmbedderError('INTERNAL', reasonOf(error), { cause: error }) };
  }
}
