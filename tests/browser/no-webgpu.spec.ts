// Browsers without WebGPU: the page says so in plain words, and a small model runs on the CPU.
import { chromiumPath, QUIET_FLAGS } from './support/chromium';
import { Lab, failed } from './support/lab';
import { expect, test } from './support/test';

const N_SAMPLES = 42;
/** Secure contexts alone have WebGPU; a plain http host other than this machine is none. */
const INSECURE_HOST = 'plain-http.test';

// Both the page and the lab are opened here: the page's service worker would answer for the lab.
test.use({ serviceWorkers: 'block', launchOptions: { executablePath: chromiumPath(), args: [...QUIET_FLAGS, `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`] } });

for (const [what, host, notice] of [
  ['offers no graphics device', '127.0.0.1', 'WebGPU found no graphics device here'],
  ['has no WebGPU at all', INSECURE_HOST, 'This browser has no WebGPU'],
] as const) {
  test(`where the browser ${what}, the page says so and searches on the CPU`, async ({ page, site }) => {
    await page.goto(site.replace('127.0.0.1', host));
    await expect(page.locator('#cpu-notice')).toContainText(notice);
    await expect(page.locator('#device-pill')).toContainText('CPU');
    await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
    await page.locator('#query').fill('a cat');
    await expect(page.locator('#results .card').first()).toHaveAttribute('data-rank', '1');
  });
}

test('asking for WebGPU where there is none is an error with its code, on the page and in the package', async ({ page, site }) => {
  await page.goto(`${site}?device=webgpu`);
  await expect(page.locator('#load-code')).toContainText('NO_ADAPTER');
  await page.locator('#device').selectOption('wasm');
  await expect(page.locator('#device-pill')).toContainText('CPU');

  const lab = await Lab.open(page, site);
  expect(failed(await lab.tryLoad('gpu', { model: '/models/tiny', device: 'webgpu' }))).toMatchObject({ name: 'EmbedderError', code: 'NO_ADAPTER' });
  const possible = (await lab.availability({ model: '/models/tiny' })).value!;
  expect(possible).toMatchObject({ device: 'wasm', webgpu: { available: false, reason: { code: 'NO_ADAPTER' } }, wasm: { available: true } });
});
