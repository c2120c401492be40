// A loaded model: how it comes to be, and what it answers.
//
//   module ─► device ─► files streamed in order ─► finish ─► Model
//
// Anything that fails or is cancelled on the way frees what was made before it.

import { descriptionsIn, openWeightStore, planModel, remoteFacts, type RemoteFacts } from '#weights';
import { abortError, EmbedderError, isEmbedderError, isErrorCode, type InputError } from '../errors.js';
import type { OpenUrl } from '../fetch-body.js';
import type { ModelPlan } from '../model-files.js';
import { memoryNeed, outOfMemory, probeMemory } from '../memory-need.js';
import type { EmbedderInfo, MemoryUse, ProgressEvent, WeightStore } from '../types.js';
import type { WasmDevice, WasmEmbedder, WasmEncodeOutput, WasmExports, WasmFace, WasmInput } from '../wasm-face.js';
import type { EncodeReply, EncodeRequest, OpenRequest } from '../worker/protocol.js';
import { chooseDevice } from './device.js';
import type { Guard } from './guard.js';
import { chooseKernels } from './kernels.js';
import type { LoadFace } from './load-face.js';
import { loadFiles } from './load-files.js';
import { prepareInputs, type Prepared } from './pictures.js';
import { BufferLedger } from './buffers.js';
import { DeviceTest, type Embed } from './self-test.js';

export interface LoadHooks {
  readonly guard: Guard;
  readonly open: OpenUrl;
  readonly loadFace: LoadFace;
  /** The caller's store, where the request says that weights are kept there. */
  readonly pageStore: WeightStore;
  /** Before a broken download is gone on with, the first time. */
  readonly retryPauseMs: number;
  readonly signal: AbortSignal;
  onProgress(event: ProgressEvent): void;
  /** Module and device stand; what follows takes as long as the download. */
  onDeviceReady(): void;
}

export interface EncodeHooks {
  readonly open: OpenUrl;
  readonly signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

export class Model {
  readonly info: EmbedderInfo;
  readonly #guard: Guard;
  readonly #device: WasmDevice;
  readonly #embedder: WasmEmbedder;
  readonly #buffers: BufferLedger | undefined;

  private constructor(guard: Guard, device: WasmDevice, embedder: WasmEmbedder, buffers: BufferLedger | undefined, info: EmbedderInfo) {
    this.#guard = guard;
    this.#device = device;
    this.#embedder = embedder;
    this.#buffers = buffers;
    this.info = info;
  }

  static async load(request: OpenRequest, hooks: LoadHooks): Promise<Model> {
    const { guard, signal } = hooks;
    const face = await hooks.loadFace(request.wasm);
    const { device, fallback } = await chooseDevice(face, request.device, guard);
    const gpu = guard.call(() => device.gpu_device());
    const buffers = gpu === undefined ? undefined : new BufferLedger(gpu, await exportsOf(face, request));
    try {
      if (signal.aborted) throw abortError(signal);
      hooks.onDeviceReady();
      const { model: wire, cache } = request;
      const store = await openWeightStore(cache === 'page' ? hooks.pageStore : cache);
      const plan = await planModel(wire, request, hooks.open, signal, store && descriptionsIn(store));
      const test = new DeviceTest(plan, guard.call(() => device.info()), request.kernels);
      await test.refuseKnown();
      const facts = await remoteFacts(plan.files, hooks.open, signal);
      const scratchLimit = await holdMemory(plan, facts, request.gpuBudget, device, guard);
      hooks.onProgress({ status: 'licence', model: plan.name, licence: plan.licence ?? null });
      const loader = guard.call(() => new face.ModelLoader(device));
      let consumed = false;
      try {
        const folder = wire.kind === 'directory' ? wire.url : undefined;
        const nBytes = await loadFiles(plan.files, facts, loader, device, { ...hooks, store, isBrowsersStore: cache !== 'page', folder });
        hooks.onProgress({ status: 'compile' });
        const kernels = await chooseKernels(request.kernels, device, guard);
        if (signal.aborted) throw abortError(signal);
        consumed = true;
        const embedder = await guard.wait(() => loader.finish(kernels, scratchLimit));
        try {
          const sweep = (): void => buffers?.sweep();
          sweep();
          const selfTest = await test.run(embedder, embedWith(embedder, sweep, hooks), hooks.open, hooks.onProgress, signal);
          if (signal.aborted) throw abortError(signal);
          const memory = memoryOf(guard, device, buffers);
          const model = new Model(guard, device, embedder, buffers, { ...describe(plan, nBytes, device, embedder, fallback, guard), memory, selfTest });
          hooks.onProgress({ status: 'ready' });
          return model;
        } catch (error) {
          quietly(() => embedder.free());
          throw error;
        }
      } finally {
        if (!consumed) quietly(() => loader.free());
      }
    } catch (error) {
      release(buffers, device);
      throw error;
    }
  }

  async encode(request: EncodeRequest, hooks: EncodeHooks): Promise<Omit<EncodeReply, 'timings'> & { timings: Omit<EncodeReply['timings'], 'queueMs'> }> {
    const { options, onInputError } = request;
    const start = performance.now();
    const prepared = await prepareInputs(request.inputs, hooks.open, hooks.signal);
    const fetchMs = performance.now() - start;
    const errors: InputError[] = [];
    const good: { readonly index: number; readonly input: WasmInput }[] = [];
    prepared.forEach((input: Prepared, index) => {
      if ('invalid' in input) errors.push({ index, ...input.invalid });
      else good.push({ index, input });
    });
    // Late chunking reads the texts as one document: without one of them the others would mean something else.
    if (errors.length > 0 && options.lateChunking) throw inputsError(errors, prepared.length);
    const output = good.length === 0 ? undefined : await this.#run(good, request, hooks);
    const items: ({ values: Float32Array; rows: number } | null)[] = prepared.map(() => null);
    let tokens = 0;
    let images = 0;
    output?.items.forEach((item, i) => {
      const { index, input } = good[i] as (typeof good)[number];
      if ('error' in item) {
        const { code, message } = item.error;
        errors.push({ index, code: isErrorCode(code) ? code : 'INPUT_INVALID', message });
        return;
      }
      items[index] = { values: ownBuffer(item.values), rows: item.rows };
      tokens += item.tokens;
      if (!('text' in input)) images += 1;
    });
    errors.sort((a, b) => a.index - b.index);
    if (errors.length > 0 && (onInputError === 'throw' || options.lateChunking)) throw inputsError(errors, prepared.length);
    return {
      dimensions: output?.dimensions ?? 0,
      items,
      errors,
      tokens,
      images,
      timings: {
        fetchMs,
        preprocessMs: output?.timings.preprocess_ms ?? 0,
        computeMs: output?.timings.compute_ms ?? 0,
        totalMs: performance.now() - start,
      },
    };
  }

  async #run(good: readonly { readonly index: number; readonly input: WasmInput }[], request: EncodeRequest, hooks: EncodeHooks): Promise<WasmEncodeOutput> {
    const { signal } = hooks;
    try {
      const output = await this.#guard.wait(() =>
        this.#embedder.encode(
          good.map(({ input }) => input),
          request.options,
          (done, total) => hooks.onProgress(done, total),
          () => signal.aborted,
          () => this.#buffers?.sweep(),
        ),
      );
      if (output.items.length !== good.length) {
        throw new EmbedderError('INTERNAL', `needed ${good.length} results, found ${output.items.length}`);
      }
      if (signal.aborted) throw abortError(signal);
      return output;
    } catch (error) {
      if (signal.aborted && this.#guard.failure === undefined) throw abortError(signal);
      throw isEmbedderError(error) ? withCallersIndices(error, good.map(({ index }) => index)) : error;
    }
  }

  memory(): MemoryUse {
    return memoryOf(this.#guard, this.#device, this.#buffers);
  }

  /** Frees the weights and the device, at once. */
  free(): void {
    quietly(() => this.#embedder.free());
    release(this.#buffers, this.#device);
  }
}

/** Of the instance that runs already. */
function exportsOf(face: WasmFace, { wasm }: OpenRequest): Promise<WasmExports | undefined> {
  return face.default({ module_or_path: wasm ?? '' });
}

/** Destroys the device; a browser may take its time with the buffers of one, so they go first. */
function release(buffers: BufferLedger | undefined, device: WasmDevice): void {
  quietly(() => buffers?.destroyAll());
  quietly(() => device.destroy());
}

function memoryOf(guard: Guard, device: WasmDevice, buffers: BufferLedger | undefined): MemoryUse {
  const inUse = guard.call(() => device.bytes_in_use());
  return buffers === undefined ? inUse : { ...inUse, gpu: buffers.bytes, gpuPeak: buffers.peakBytes };
}

/**
 * Makes sure, before the first byte is fetched, that the model fits. Returns what encoding may use beside
 * the weights; `undefined` where nobody knows.
 *
 * Fails with `OUT_OF_MEMORY`.
 */
async function holdMemory(plan: ModelPlan, facts: readonly RemoteFacts[], budget: number | null, device: WasmDevice, guard: Guard): Promise<number | undefined> {
  const gpu = guard.call(() => device.gpu_device());
  if (gpu === undefined) return undefined;
  const { weightBytes, peakBytes } = memoryNeed(plan, facts.map(({ nBytes }) => nBytes));
  if (weightBytes === null || peakBytes === null) return undefined;
  const refused = budget === null ? await guard.wait(() => probeMemory(gpu, peakBytes)) : peakBytes > budget ? `the budget is ${budget} bytes` : undefined;
  if (refused !== undefined) throw outOfMemory(plan.name, peakBytes, budget, refused);
  return budget === null ? undefined : budget - weightBytes;
}

/** Embeds one input whole. */
function embedWith(embedder: WasmEmbedder, onReleased: () => void, { guard, signal }: LoadHooks): Embed {
  return async (input, task) => {
    const options = { task, multivector: false, lateChunking: false };
    const { items } = await guard.wait(() => embedder.encode([input], options, () => undefined, () => signal.aborted, onReleased));
    return items[0] ?? { error: { message: 'no result' } };
  };
}

/**
 * Frees something of the face. It may be called on a device that is lost or a module that has trapped,
 * where freeing fails in turn and says nothing that is not known already.
 */
function quietly(free: () => void): void {
  try {
    free();
  } catch {
    // A trap reports itself through the device's events.
  }
}

function describe(plan: ModelPlan, nBytes: number, device: WasmDevice, embedder: WasmEmbedder, deviceFallback: EmbedderInfo['deviceFallback'], guard: Guard): Omit<EmbedderInfo, 'memory' | 'selfTest'> {
  const { space, ...config } = guard.call(() => embedder.config());
  const { kind, version: _version, ...adapter } = guard.call(() => device.info());
  return {
    source: 'local',
    device: kind,
    ...(deviceFallback === undefined ? {} : { deviceFallback }),
    adapter,
    kernels: guard.call(() => embedder.kernels()),
    model: { name: plan.name, ...(plan.licence === undefined ? {} : { licence: plan.licence }), ...config, nBytes },
    space: plan.space ?? space,
  };
}

/** `INPUT_INVALID`, or the one reason of the model's that all bad inputs share (no vision part, numbers that are not finite). */
function inputsError(inputs: readonly InputError[], nInputs: number): EmbedderError {
  const [first] = inputs as [InputError, ...InputError[]];
  const shared = first.code !== 'DOWNLOAD_FAILED' && first.code !== 'IO' && inputs.every(({ code }) => code === first.code);
  const what = inputs.map(({ index, message }) => `input ${index}: ${message}`).slice(0, 3).join('; ');
  const more = inputs.length > 3 ? `; and ${inputs.length - 3} more` : '';
  return new EmbedderError(shared ? first.code : 'INPUT_INVALID', `${inputs.length} of ${nInputs} inputs cannot be embedded: ${what}${more}`, { data: { inputs } });
}

/** The face counts only the inputs it was given. */
function withCallersIndices(error: EmbedderError, indices: readonly number[]): EmbedderError {
  if (error.inputs.length === 0) return error;
  const inputs = error.inputs.map((input) => ({ ...input, index: indices[input.index] ?? input.index }));
  return new EmbedderError(error.code, error.message, { cause: error.cause, recoverable: error.recoverable, data: { ...error.data, inputs } });
}

/** Values in a buffer of their own, so that it can be transferred and nothing else goes with it. */
function ownBuffer(values: Float32Array): Float32Array {
  return values.byteLength === values.buffer.byteLength ? values : values.slice();
}
