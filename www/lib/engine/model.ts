// A loaded model: how it comes to be, and what it answers.
//
//   module ─► device ─► files streamed in order ─► finish ─► Model
//
// Anything that fails or is cancelled on the way frees what was made before it.

import { descriptionsIn, openWeightStore } from '#weights';
import { abortError, EmbedderError, isEmbedderError, isErrorCode, type InputError } from '../errors.js';
import type { OpenUrl } from '../fetch-body.js';
import type { ModelPlan } from '../model-files.js';
import { planModel } from '../plan-model.js';
import type { EmbedderInfo, MemoryUse, ProgressEvent, WeightStore } from '../types.js';
import type { WasmDevice, WasmEmbedder, WasmEncodeOutput, WasmInput } from '../wasm-face.js';
import type { EncodeReply, EncodeRequest, OpenRequest } from '../worker/protocol.js';
import { chooseDevice } from './device.js';
import type { Guard } from './guard.js';
import { chooseKernels } from './kernels.js';
import type { LoadFace } from './load-face.js';
import { loadFiles } from './load-files.js';
import { prepareInputs, type Prepared } from './pictures.js';

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

  private constructor(guard: Guard, device: WasmDevice, embedder: WasmEmbedder, info: EmbedderInfo) {
    this.#guard = guard;
    this.#device = device;
    this.#embedder = embedder;
    this.info = info;
  }

  static async load(request: OpenRequest, hooks: LoadHooks): Promise<Model> {
    const { guard, signal } = hooks;
    const face = await hooks.loadFace(request.wasm);
    const { device, fallback } = await chooseDevice(face, request.device, guard);
    try {
      if (signal.aborted) throw abortError(signal);
      hooks.onDeviceReady();
      const { model: wire, cache } = request;
      const store = await openWeightStore(cache === 'page' ? hooks.pageStore : cache);
      const plan = await planModel(wire, request, hooks.open, signal, store && descriptionsIn(store));
      hooks.onProgress({ status: 'licence', model: plan.name, licence: plan.licence ?? null });
      const loader = guard.call(() => new face.ModelLoader(device));
      let consumed = false;
      try {
        const folder = wire.kind === 'directory' ? wire.url : undefined;
        const nBytes = await loadFiles(plan.files, loader, device, { ...hooks, store, isBrowsersStore: cache !== 'page', folder });
        hooks.onProgress({ status: 'compile' });
        const kernels = await chooseKernels(request.kernels, device, guard);
        if (signal.aborted) throw abortError(signal);
        consumed = true;
        const embedder = await guard.wait(() => loader.finish(kernels));
        if (signal.aborted) {
          embedder.free();
          throw abortError(signal);
        }
        const model = new Model(guard, device, embedder, describe(plan, nBytes, device, embedder, fallback, guard));
        hooks.onProgress({ status: 'ready' });
        return model;
      } finally {
        if (!consumed) quietly(() => loader.free());
      }
    } catch (error) {
      quietly(() => device.destroy());
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
    return this.#guard.call(() => this.#device.bytes_in_use());
  }

  /** Frees the weights and the device. */
  free(): void {
    quietly(() => this.#embedder.free());
    quietly(() => this.#device.destroy());
  }
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

function describe(plan: ModelPlan, nBytes: number, device: WasmDevice, embedder: WasmEmbedder, deviceFallback: EmbedderInfo['deviceFallback'], guard: Guard): EmbedderInfo {
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
    memory: guard.call(() => device.bytes_in_use()),
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
