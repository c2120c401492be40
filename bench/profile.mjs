// What each kernel takes on Vulkan, beside what the adapter can do at most: `jina-embed bench --profile`.

import { nameOf, nativeReport } from './devices.mjs';

export const LENGTHS = [16, 128, 512];
/** A software adapter takes seconds per call. */
const SOFTWARE_LENGTHS = [16, 128];
const SOFTWARE_REPEATS = 2;

/** Goals of the project, for graphics cards: shares and ratios. */
export const GOALS = { productShareOfF32: 0.3, longCallToRoofline: 3.3, shortCallToKernels: 1.3 };

/**
 * - `model`: a model directory or GGUF file
 * - returns: `device_name`, `is_software`, and the report of the command; or `error`
 */
export function measureProfile({ command, model, lengths, repeats }) {
  try {
    const args = ['--model', model, '--device', 'gpu'];
    // One short call tells which device this is.
    const { device } = nativeReport(command, [...args, '--no-picture', '--tokens', '16', '--repeats', '1']);
    const wanted = lengths ?? (device.is_software ? SOFTWARE_LENGTHS : LENGTHS);
    const n = device.is_software ? Math.min(repeats, SOFTWARE_REPEATS) : repeats;
    const report = nativeReport(command, [...args, '--profile', '--tokens', wanted.join(','), '--repeats', String(n)]);
    return { device_name: nameOf(device), is_software: device.is_software, ...report };
  } catch (error) {
    return { error: String(error.stderr || error.message).trim().split('\n').at(-1) };
  }
}

/**
 * How a call stands to the goals.
 *
 * - returns: `toRoofline`, the call to what its operations take at the f32 peak; `toKernels`, the call to its kernels
 *   and as many empty dispatches; `productShare`, the f32 share of the launch with the most operations
 */
export function standing({ measurement, operations, kernels_ms, dispatches, rows }, { f32_flops_per_second, empty_dispatch_seconds }) {
  const most = rows.reduce((best, row) => (row.operations > best.operations ? row : best));
  return {
    toRoofline: measurement.min_ms / (operations / f32_flops_per_second * 1e3),
    toKernels: measurement.min_ms / (kernels_ms + dispatches * empty_dispatch_seconds * 1e3),
    productShare: most.share_of_f32,
  };
}
