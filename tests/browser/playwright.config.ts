// The package and the page in a real browser: Chromium, with WebGPU on the SwiftShader adapter, so that every machine
// computes the same. Needs what `make` builds before: pkg-config/dist, www/demo/dist and the command jina-embed.
//
//   npm run test:browser --prefix pkg-config [-- page.spec.ts]
//
//   CHROMIUM_PATH  the browser (default: the first of chromium, chromium-browser, google-chrome on PATH)
//   JINA_EMBED     the command that converts the test model (default: the newest one in cargo's target directory)
import { defineConfig } from '@playwright/test';
import { chromiumPath, WEBGPU_FLAGS, QUIET_FLAGS } from './support/chromium';

const MINUTE_MS = 60_000;

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  outputDir: '../../target/browser-tests',
  globalSetup: './support/global-setup.ts',
  // One at a time: SwiftShader uses every core, and two at once only make both time out.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  forbidOnly: true,
  timeout: 5 * MINUTE_MS,
  expect: { timeout: MINUTE_MS },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    headless: true,
    viewport: { width: 1280, height: 800 },
    launchOptions: { executablePath: chromiumPath(), args: [...QUIET_FLAGS, ...WEBGPU_FLAGS] },
  },
});
