import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A WebGPU adapter on a machine without a graphics card. */
export const WEBGPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** No sandbox, since the tests may run as root; and nothing that asks the network on its own. */
export const QUIET_FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

export function chromiumPath(): string {
  const given = process.env['CHROMIUM_PATH'];
  if (given) return given;
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch { /* look on */ }
    }
  }
  throw new Error(`no browser: none of ${NAMES.join(', ')} is on PATH, and CHROMIUM_PATH is not set`);
}
