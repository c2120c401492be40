// What is possible here, before anything is downloaded but the model's description.

import { abortError, EmbedderError, isEmbedderError, reasonOf, type ErrorCode } from '../errors.js';
import type { HostedOptions } from '../hosted/types.js';
import { requireAdapter } from '../engine/device.js';
import { openWith } from '../fetch-body.js';
import { memoryNeed, outOfMemory, probeMemory } from '../memory-need.js';
import { locateModel } from '../model-files.js';
import { pageAddress } from '../page-address.js';
import type { AdapterInfo, Availability, AvailabilityOptions, MemoryStatement } from '../types.js';
import { checkCache } from '../weights/check-cache.js';
import { crashOf, modelKey } from './crash-marker.js';
import { budgetOf } from './create-embedder.js';

/**
 * Tells where `createEmbedder` with the same options would compute, and what it would download. WebGPU is
 * asked for an adapter in the page; a worker may, in rare browsers, have none where the page has one. A
 * desktop's is asked to reserve the memory of the whole model, and gives it back at once; a phone's is not,
 * since that may end the page.
 *
 * Rejects only with an `AbortError`, and with `INPUT_INVALID` for an option.
 */
export async function availability(options: AvailabilityOptions = {}): Promise<Availability> {
  const mode = options.mode ?? (options.hosted === undefined ? 'only-local' : options.model === undefined ? 'only-hosted' : 'prefer-local');
  const { device = mode === 'prefer-local' ? 'webgpu' : 'auto', signal = new AbortController().signal } = options;
  if (signal.aborted) throw abortError(signal);
  const budget = budgetOf(options.gpuBudget);
  const { adapter, webgpu } = await probeWebGpu();
  const wasm = probeWasm();
  const onWebGpu = device !== 'wasm' && webgpu.available;
  const onWasm = device !== 'webgpu' && wasm.available;
  const hosted = mode === 'only-local' ? { available: false } : await probeHosted(options.hosted);
  const { needed, key, ...model } = await probeModel(options, signal);
  const memory = needed === undefined ? undefined : await probeNeed(needed, model.licence?.model ?? 'the model', onWebGpu ? adapter : undefined, budget);
  const crash = key === undefined ? undefined : await crashOf(key);
  const storage = await probeStorage();
  // A model that the graphics card cannot hold is too large for the CPU's 4 GiB and patience as well.
  const fits = memory?.fits !== false;
  const isLocal = mode !== 'only-hosted' && wasm.available && fits && (crash === undefined || mode === 'only-local') && (onWebGpu || onWasm);
  const source = mode.endsWith('local') ? (isLocal ? 'local' : hosted.available ? 'hosted' : null) : hosted.available ? 'hosted' : isLocal ? 'local' : null;
  return {
    source,
    // Both devices are driven by the same WebAssembly module.
    device: !wasm.available || !fits ? null : onWebGpu ? 'webgpu' : onWasm ? 'wasm' : null,
    webgpu,
    wasm,
    hosted,
    ...model,
    ...(memory === undefined ? {} : { memory }),
    ...(storage === undefined ? {} : { storage }),
    ...(crash === undefined ? {} : { crashed: crash }),
  };
}

function reason(error: unknown, code: ErrorCode): { code: ErrorCode; message: string } {
  return { code: isEmbedderError(error) ? error.code : code, message: reasonOf(error) };
}

async function probeWebGpu(): Promise<{ adapter?: GPUAdapter; webgpu: Availability['webgpu'] }> {
  try {
    const adapter = await requireAdapter();
    return { adapter, webgpu: { available: true, adapter: describe(adapter) } };
  } catch (error) {
    return { webgpu: { available: false, reason: reason(error, 'WEBGPU_UNAVAILABLE') } };
  }
}

/** Whether the memory is there: against the budget, or by asking the device for it. */
async function probeNeed(needed: MemoryStatement, model: string, adapter: GPUAdapter | undefined, budget: number | null): Promise<Availability['memory']> {
  const { peakBytes } = needed;
  if (peakBytes === null || adapter === undefined) return { ...needed, budgetBytes: budget, fits: null };
  const why = budget === null ? await refusalOf(adapter, peakBytes) : peakBytes > budget ? `the budget is ${budget} bytes` : undefined;
  if (why === undefined) return { ...needed, budgetBytes: budget, fits: true };
  const { code, message } = outOfMemory(model, peakBytes, budget, why);
  return { ...needed, budgetBytes: budget, fits: false, reason: { code, message } };
}

/** Asks a device of its own, which is gone afterwards. */
async function refusalOf(adapter: GPUAdapter, nBytes: number): Promise<string | undefined> {
  try {
    const device = await adapter.requestDevice();
    try {
      return await probeMemory(device, nBytes);
    } finally {
      device.destroy();
    }
  } catch (error) {
    return reasonOf(error);
  }
}

async function probeStorage(): Promise<Availability['storage']> {
  try {
    const { storage } = (globalThis as { navigator?: { storage?: StorageManager } }).navigator ?? {};
    if (storage === undefined) return undefined;
    const [{ quota, usage }, isPersistent] = await Promise.all([storage.estimate(), storage.persisted()]);
    return quota === undefined || usage === undefined ? undefined : { quotaBytes: quota, usedBytes: usage, isPersistent };
  } catch {
    return undefined;
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

interface ModelProbe extends Pick<Availability, 'download' | 'licence' | 'modelError'> {
  readonly needed?: MemoryStatement;
  /** What the model is called in storage. */
  readonly key?: string;
}

async function probeModel(options: AvailabilityOptions, signal: AbortSignal): Promise<ModelProbe> {
  if (options.model === undefined) return {};
  try {
    const open = openWith(options.fetch ?? ((url, init) => fetch(url, init)));
    const wanted = { images: options.parts?.images !== false, multivector: options.parts?.multivector !== false };
    const { descriptionsIn, downloadOf, openWeightStore, planModel, remoteFacts } = await import('#weights');
    const store = await openWeightStore(checkCache(options.cache));
    const located = locateModel(options.model, pageAddress());
    const plan = await planModel(located, wanted, open, signal, store && { get: descriptionsIn(store).get });
    const facts = await remoteFacts(plan.files, open, signal);
    const needed = memoryNeed(plan, facts.map(({ nBytes }) => nBytes));
    return { download: await downloadOf(plan.files, facts, store), licence: { model: plan.name, licence: plan.licence ?? null }, needed, key: modelKey(located) };
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    return { modelError: isEmbedderError(error) ? error : new EmbedderError('INTERNAL', reasonOf(error), { cause: error }) };
  }
}
