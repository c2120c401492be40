// What a model takes on the graphics device, told before any of it is fetched, and what the device may
// give. WebGPU cannot be asked how much there is:
//
//   a desktop   is asked to reserve all of it at once, which fails with a typed error where it cannot
//   a phone     ends the page that tries, so it has a fixed budget
//
// The need is that of `src/embedder/memory.rs`, from the published sizes of the architecture in multiples
// of the width that model.json states.

import { EmbedderError } from './errors.js';
import type { ModelPlan } from './model-files.js';
import type { MemoryStatement } from './types.js';

/** Bytes on the device per byte of the files: sizes are padded, and buffers rounded up. */
const WEIGHT_FACTOR = 1.15;

/** Texts of so many tokens have to fit, and any picture that the model takes: else the device is not used. */
export const PROMISED_TOKENS = 1024;

const VALUE_BYTES = 4;
const FIXED_BYTES = 32 * 2 ** 20;
const MLP_ROWS_AT_ONCE = 1024;
/** A product that joins the stream comes in so many slices at most, which have so many values in all. */
const MAX_SLICES = 8;
const MAX_SLICED_VALUES = 2 ** 22;

/** jina-embeddings-v4, where no model.json says another width. */
const HIDDEN_SIZE = 2048;
/** Widths in multiples of `hidden_size`: low-rank coordinates, queries with keys and values, the MLP. */
const TEXT_RATIOS = { coordinates: 3 / 64, qkv: 1.25, mlp: 5.375 + 3 / 64 };
/** The vision tower's, which is the same size whatever the decoder's. */
const VISION = { width: 1280, qkv: 3840, mlp: 3456, patches: 3072, tokens: 778 };

/** Bytes of one stage of layers over `rows`. */
function stage(rows: number, width: number, qkv: number, mlp: number, coordinates: number): number {
  const perRow = 4 * (width + coordinates) + 2 * qkv;
  const perMlpRow = 1.25 * mlp + 2 * width;
  const sliced = Math.min(MAX_SLICES * rows * (width + coordinates), MAX_SLICED_VALUES);
  return FIXED_BYTES + VALUE_BYTES * (rows * perRow + Math.min(rows, MLP_ROWS_AT_ONCE) * perMlpRow + sliced);
}

function textBytes(tokens: number, hiddenSize: number): number {
  const { coordinates, qkv, mlp } = TEXT_RATIOS;
  return stage(tokens, hiddenSize, qkv * hiddenSize, mlp * hiddenSize, coordinates * hiddenSize);
}

/**
 * Most bytes that loading and encoding take.
 *
 * `sizes`: of the plan's files; the statement has no total where one is unknown.
 */
export function memoryNeed(plan: ModelPlan, sizes: readonly (number | undefined)[]): MemoryStatement {
  const inFiles = sizes.reduce<number | undefined>((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0);
  const hiddenSize = plan.hiddenSize ?? HIDDEN_SIZE;
  const text = textBytes(PROMISED_TOKENS, hiddenSize);
  const hasVision = plan.files.some(({ role }) => role === 'vision');
  const picture = stage(VISION.patches, VISION.width, VISION.qkv, VISION.mlp, 0) + textBytes(VISION.tokens, hiddenSize);
  const scratchBytes = Math.ceil(hasVision ? Math.max(text, picture) : text);
  const weightBytes = inFiles === undefined ? null : Math.ceil(inFiles * WEIGHT_FACTOR);
  return { weightBytes, scratchBytes, peakBytes: weightBytes === null ? null : weightBytes + scratchBytes, promisedTokens: PROMISED_TOKENS };
}

/** What of a browser tells which kind of machine it runs on. */
export interface Machine {
  readonly userAgent?: string;
  readonly maxTouchPoints?: number;
  readonly userAgentData?: { readonly mobile?: boolean };
}

const MB = 1_000_000;

/** Bytes of graphics memory that a page may use where asking for them ends the page; `null` where it may ask. */
export function staticBudget(machine: Machine | undefined = (globalThis as { navigator?: Machine }).navigator): number | null {
  const { userAgent = '', maxTouchPoints = 0, userAgentData } = machine ?? {};
  if (/iPhone|iPod/.test(userAgent)) return 700 * MB;
  // An iPad says that it is a Mac, which has no touch screen.
  const isIpad = /iPad/.test(userAgent) || (/Macintosh/.test(userAgent) && maxTouchPoints > 1);
  return isIpad || userAgentData?.mobile === true || /Android|Mobile/.test(userAgent) ? 1500 * MB : null;
}

/** The part of a `GPUDevice` that is asked. */
export interface ProbedDevice {
  readonly limits: { readonly maxBufferSize: number };
  pushErrorScope(filter: 'out-of-memory' | 'validation'): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): { destroy(): void };
}

/** No larger than what every device offers. */
const PROBE_BYTES = 256 * 2 ** 20;
/** `GPUBufferUsage.STORAGE | COPY_DST` */
const PROBE_USAGE = 0x80 | 0x08;

/**
 * Reserves `nBytes` at once and gives them back. Returns why that failed, or `undefined`.
 *
 * A driver that hands out more memory than it has says yes to anything; then loading is where it fails.
 */
export async function probeMemory(device: ProbedDevice, nBytes: number): Promise<string | undefined> {
  const most = Math.min(PROBE_BYTES, device.limits.maxBufferSize);
  const buffers: { destroy(): void }[] = [];
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  let thrown: unknown;
  try {
    for (let left = Math.ceil(nBytes / 4) * 4; left > 0; left -= most) {
      buffers.push(device.createBuffer({ size: Math.min(left, most), usage: PROBE_USAGE }));
    }
  } catch (error) {
    thrown = error;
  }
  const outOfMemory = device.popErrorScope();
  const invalid = device.popErrorScope();
  try {
    const error = (await outOfMemory) ?? (await invalid) ?? (thrown === undefined ? null : { message: String(thrown) });
    return error?.message ?? (error === null ? undefined : 'refused');
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

/** The refusal of a model that does not fit. */
export function outOfMemory(model: string, needed: number, budget: number | null, why: string): EmbedderError {
  const megabytes = Math.ceil(needed / MB);
  return new EmbedderError('OUT_OF_MEMORY', `${model} needs ${megabytes} MB of graphics memory, and this device does not give them: ${why}`, {
    recoverable: false,
    data: { needed, ...(budget === null ? {} : { found: budget }) },
  });
}
