// Which form of the model's operations an adapter runs: the caller's, the one that was measured on an
// earlier visit, or the one that is measured now. Software adapters have a fixed one.

import type { KernelForm } from '../types.js';
import type { WasmDevice, WasmDeviceInfo } from '../wasm-face.js';
import type { Guard } from './guard.js';
import { recall, remember } from '../remembered.js';

/** What `ModelLoader.finish` takes: a fixed form by its name, or a measured one. */
export async function chooseKernels(wanted: KernelForm, device: WasmDevice, guard: Guard): Promise<string> {
  if (wanted === 'tiled' || wanted === 'direct') return wanted;
  const info = guard.call(() => device.info());
  if (info.kind !== 'webgpu') return 'auto';
  const key = `kernels/${adapterKey(info)}`;
  if (wanted === 'auto') {
    const known = await recall(key);
    if (known !== undefined && guard.call(() => device.runs_kernels(known))) return known;
    if (info.isFallbackAdapter) return 'auto';
  }
  const measured = await guard.wait(() => device.measure_kernels());
  await remember(key, measured);
  return measured;
}

/** Names an adapter and this version of the package, for what is remembered of the two. */
export function adapterKey(info: WasmDeviceInfo): string {
  const { version, vendor, architecture, description, name, shaderF16 } = info;
  return JSON.stringify([version, vendor, architecture, description, name, shaderF16]);
}
