// Which device computes. `auto` takes WebGPU where an adapter is offered; where not, the CPU, and the
// reason is kept for the caller to see.

import { EmbedderError, isEmbedderError, type ErrorCode } from '../errors.js';
import type { DeviceKind, EmbedderInfo } from '../types.js';
import { deviceEventError, type WasmDevice, type WasmFace } from '../wasm-face.js';
import type { Guard } from './guard.js';

export interface ChosenDevice {
  readonly device: WasmDevice;
  readonly fallback: EmbedderInfo['deviceFallback'];
}

/** A browser whose graphics process is still starting, or starting again, offers no adapter. */
const SECOND_ASK_MS = 500;

/** The failures that say "not on this machine", and not "something broke". */
const NOT_HERE: ReadonlySet<ErrorCode> = new Set(['WEBGPU_UNAVAILABLE', 'NO_ADAPTER', 'LIMITS_INSUFFICIENT']);

/** Creates the device; its later failures go to `guard`. */
export async function chooseDevice(face: WasmFace, wanted: 'auto' | DeviceKind, guard: Guard): Promise<ChosenDevice> {
  const create = (kind: DeviceKind): Promise<WasmDevice> =>
    guard.wait(() => face.create_device(kind, (event) => guard.fail(deviceEventError(event))));
  if (wanted !== 'auto') {
    // Waits for an adapter that is yet to come; where there is none, the module's own error says so.
    if (wanted === 'webgpu') await requireAdapter().catch(() => undefined);
    return { device: await create(wanted), fallback: undefined };
  }
  try {
    // Asked here, in the thread that will compute: a page may have WebGPU where its workers have none.
    await requireAdapter();
    return { device: await create('webgpu'), fallback: undefined };
  } catch (error) {
    if (!isEmbedderError(error) || !NOT_HERE.has(error.code)) throw error;
    return { device: await create('wasm'), fallback: { code: error.code, message: error.message } };
  }
}

/**
 * Asks for an adapter, and once more after half a second if there is none.
 *
 * Fails with `WEBGPU_UNAVAILABLE` or `NO_ADAPTER`.
 */
export async function requireAdapter(): Promise<GPUAdapter> {
  const gpu = typeof navigator === 'undefined' ? undefined : (navigator as { gpu?: GPU }).gpu;
  if (gpu === undefined) {
    const secure = (globalThis as { isSecureContext?: boolean }).isSecureContext !== false;
    throw new EmbedderError('WEBGPU_UNAVAILABLE', secure ? 'This browser has no WebGPU (navigator.gpu is missing)' : 'WebGPU needs a secure context: serve the page over https or from localhost');
  }
  const ask = (): Promise<GPUAdapter | null> => gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, SECOND_ASK_MS));
  const adapter = await ask() ?? await later().then(ask);
  if (adapter === null) throw new EmbedderError('NO_ADAPTER', 'The browser has WebGPU, but offers no adapter for it');
  return adapter;
}
