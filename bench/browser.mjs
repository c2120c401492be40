// The browser's half of the benchmark: Chromium, driven through Playwright, with the flags of the browser tests.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { serve } from '../scripts/serve.mjs';

const root = join(import.meta.dirname, '..');
const require = createRequire(new URL('../pkg-config/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const { transformSync } = require('esbuild');

/**
 * What it takes for Chromium to choose a graphics card. On Linux WebGPU is behind flags, headless it wants Vulkan
 * throughout, and Dawn leaves `shader-f16` out on NVIDIA's driver, which has it on other systems.
 */
export const HARDWARE_FLAGS = [
  '--enable-unsafe-webgpu', '--ignore-gpu-blocklist',
  ...(process.platform === 'linux' ? ['--enable-features=Vulkan', '--use-angle=vulkan', '--disable-vulkan-surface', '--enable-dawn-features=vulkan_enable_f16_on_nvidia'] : []),
];

/** A case that takes longer has gone wrong. */
const MAX_CASE_MS = 30 * 60_000;

/**
 * How Chromium is launched, by the tests' own module, which is TypeScript: the flags are stated once.
 *
 * - `hardware`: let the browser choose its adapter, instead of SwiftShader as in the tests
 */
export async function launcher(hardware) {
  const source = readFileSync(join(root, 'tests/browser/support/chromium.ts'), 'utf8');
  const { code } = transformSync(source, { loader: 'ts', format: 'esm' });
  const { chromiumPath, QUIET_FLAGS, WEBGPU_FLAGS } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  const args = [...QUIET_FLAGS, ...(hardware ? HARDWARE_FLAGS : WEBGPU_FLAGS)];
  return () => chromium.launch({ executablePath: chromiumPath(), headless: true, args });
}

/**
 * A site with the built package and the models, and a way to time them.
 *
 * - `hardware`: as in `launcher`
 * - returns: `version` of the browser; `measure(plan)`, which resolves to what bench/page/bench.js returns; `close()`
 */
export async function openBrowser({ models, hardware }) {
  const launch = await launcher(hardware);
  const site = await serve({
    mounts: [
      { path: '/', dir: join(root, 'bench/page') },
      { path: '/jina-embeddings-web', dir: join(root, 'pkg-config/dist') },
      { path: '/models', dir: models },
    ],
    port: 0,
  });
  /** A browser of its own for each case: no shader and no file is left over from the one before. */
  async function measure(plan) {
    const browser = await launch();
    let timer;
    try {
      const page = await browser.newPage();
      await page.goto(site.url);
      await page.waitForFunction(() => 'bench' in globalThis);
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no result within ${MAX_CASE_MS / 60_000} minutes`)), MAX_CASE_MS);
      });
      return await Promise.race([page.evaluate((given) => globalThis.bench(given), plan), late]);
    } finally {
      clearTimeout(timer);
      await browser.close();
    }
  }

  const browser = await launch();
  const version = browser.version();
  await browser.close();
  return { version, measure, close: () => site.close() };
}
