// How time and memory grow with the length of a text: one layer of v4's widths, natively, each length twice the one
// before it. Twice the tokens are to take at most 2.2 times as long up to 8,192.

import { nameOf, nativeReport } from './devices.mjs';

export const LENGTHS = [512, 1024, 2048, 4096, 8192];
export const MAX_RATIO = 2.2;
/** Long calls take half a minute on a processor, and minutes on a software adapter. */
const MAX_REPEATS = 3;
const MAX_SOFTWARE_REPEATS = 1;

/**
 * - `model`: a GGUF file
 * - returns: one entry per device: `device_name`, `device_bytes` of the weights, `measurements` with `ratio` to half the
 *   length, and `error` if any
 */
export function measureGrowth({ command, model, devices, lengths, repeats, log }) {
  return devices.map((device) => {
    log(`growth, ${device}`);
    try {
      const kind = device.slice('native-'.length);
      const args = ['--model', model, '--device', kind, '--no-picture', '--tokens'];
      // One short call tells which device this is.
      const { device: found } = nativeReport(command, [...args, '16', '--repeats', '1']);
      const n = Math.min(repeats, kind === 'gpu' && found.is_software ? MAX_SOFTWARE_REPEATS : MAX_REPEATS);
      const { measurements, model: { device_bytes } } = nativeReport(command, [...args, lengths.join(','), '--repeats', String(n)]);
      return { device, device_name: nameOf(found), device_bytes, measurements: withRatios(measurements) };
    } catch (error) {
      return { device, error: String(error.stderr || error.message).trim().split('\n').at(-1) };
    }
  });
}

/** Adds to each measurement the ratio of its shortest time to that of half its length, where that was measured. */
export function withRatios(measurements) {
  return measurements.map((each) => {
    const half = measurements.find(({ tokens }) => tokens * 2 === each.tokens);
    return { ...each, ...(half && { ratio: Math.round(each.min_ms / half.min_ms * 100) / 100 }) };
  });
}
