// A stand-in for the wasm module, to the types of `wasm-face.ts`. It embeds a text as numbers that tell
// which text it was, records what it was given, and fails where a test tells it to.

import type { DeviceKind } from '../../../www/lib/index.js';
import type { DeviceEvent, WasmDevice, WasmEmbedder, WasmEncodeOptions, WasmEncodeOutput, WasmFace, WasmInput, WasmItem, WasmModelLoader } from '../../../www/lib/wasm-face.js';

export const DIMENSIONS = 4;

/** A `RuntimeError` as a trap throws it. */
export const trap = (): Error => new WebAssembly.RuntimeError('unreachable executed');

export interface Behaviour {
  /** What `create_device` rejects with, by kind. */
  device?: Partial<Record<DeviceKind, unknown>>;
  /** Runs before each encode; may throw, wait, or never settle. */
  beforeEncode?(inputs: readonly WasmInput[], isAborted: () => boolean): Promise<void> | void;
  /** Default: the adapter is a processor, whose kernels nobody measures. */
  isFallbackAdapter?: boolean;
  onPush?(nBytesSoFar: number): void;
  beforeFinish?(): Promise<void> | void;
}

export interface FakeFace extends WasmFace {
  readonly behaviour: Behaviour;
  /** What happened, in order: `begin text`, `end`, `encode a,b`, `free embedder`, … */
  readonly log: string[];
  readonly files: { role: string; task: string | undefined; name: string; nBytes: number | undefined; bytes: number[] }[];
  readonly encodes: { inputs: WasmInput[]; options: WasmEncodeOptions }[];
  largestPush: number;
  /** Sends a device event, as the GPU or the panic hook would. */
  emit(event: DeviceEvent): void;
}

export function fakeFace(behaviour: Behaviour = {}): FakeFace {
  const log: string[] = [];
  const files: FakeFace['files'] = [];
  const encodes: FakeFace['encodes'] = [];
  let listener: (event: DeviceEvent) => void = () => undefined;

  class ModelLoader implements WasmModelLoader {
    constructor(_device: WasmDevice) {
      log.push('new loader');
    }
    begin_file(role: string, task: string | undefined, name: string, nBytes: number | undefined): void {
      log.push(`begin ${role}`);
      files.push({ role, task, name, nBytes, bytes: [] });
    }
    push(chunk: Uint8Array): void {
      face.largestPush = Math.max(face.largestPush, chunk.length);
      const file = files.at(-1);
      for (const byte of chunk) file?.bytes.push(byte);
      behaviour.onPush?.(file?.bytes.length ?? 0);
    }
    end_file(): void {
      log.push('end');
    }
    async finish(kernels: string, _scratchLimit: number | undefined): Promise<WasmEmbedder> {
      log.push(kernels === 'auto' ? 'finish' : `finish ${kernels}`);
      await behaviour.beforeFinish?.();
      return embedder;
    }
    free(): void {
      log.push('free loader');
    }
  }

  const embedder: WasmEmbedder = {
    kernels: () => 'host',
    config: () => ({
      hiddenSize: DIMENSIONS,
      matryoshkaDims: [2, 4],
      projectorDim: 2,
      tasks: ['retrieval'],
      hasVision: true,
      maxPixels: 602_112,
      minPixels: 3136,
      maxTokens: 32_768,
      longestText: 32_768,
      architecture: 'jina-embeddings-v4',
      space: 'space-of-the-file',
    }),
    async encode(inputs, options, onProgress, isAborted): Promise<WasmEncodeOutput> {
      log.push(`encode ${inputs.map(nameOf).join(',')}`);
      encodes.push({ inputs, options });
      await behaviour.beforeEncode?.(inputs, isAborted);
      if (isAborted()) throw { code: 'ABORTED', message: 'cancelled' };
      const dimensions = options.dimensions ?? DIMENSIONS;
      const items = inputs.map((input, i): WasmItem => {
        onProgress(i + 1, inputs.length);
        if (nameOf(input) === 'bad') return { error: { code: 'INPUT_INVALID', message: 'the text is "bad"' } };
        if (nameOf(input) === 'nan') return { error: { code: 'NOT_FINITE', message: 'the result is not finite' } };
        const rows = options.multivector ? 3 : 1;
        // A view into something larger, as a careless binding might return.
        const memory = new Float32Array(rows * dimensions + 8).fill(nameOf(input).length);
        return { values: memory.subarray(0, rows * dimensions), rows, tokens: nameOf(input).length };
      });
      return { dimensions, items, timings: { preprocess_ms: 1, compute_ms: 2 } };
    },
    free: () => void log.push('free embedder'),
  };

  const face: FakeFace = {
    behaviour,
    log,
    files,
    encodes,
    largestPush: 0,
    emit: (event) => listener(event),
    default: async () => undefined,
    create_device: async (kind, onEvent) => {
      const failure = behaviour.device?.[kind];
      if (failure !== undefined) throw failure;
      log.push(`device ${kind}`);
      listener = onEvent;
      return {
        info: () => ({ kind, version: '0.0.0', name: 'fake', vendor: 'none', architecture: '', description: '', isFallbackAdapter: behaviour.isFallbackAdapter !== false, shaderF16: false, maxBufferBytes: 1, maxBindingBytes: 1 }),
        gpu_device: () => undefined,
        bytes_in_use: () => ({ gpu: 7, wasm: 11 }),
        measure_kernels: async () => {
          log.push('measure');
          return 'measured';
        },
        runs_kernels: (kernels) => kernels === 'measured',
        destroy: () => void log.push('destroy device'),
      };
    },
    ModelLoader,
  };
  return face;
}

/** The text, or what kind of picture it was. */
function nameOf(input: WasmInput): string {
  if ('text' in input) return input.text;
  return 'image' in input ? `file of ${input.image.length}` : `${input.width}x${input.height}`;
}
