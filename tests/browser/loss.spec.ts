// The device is lost, or an allocation refused, at one point after another while a model loads and embeds: each time the
// error is typed, nothing of the device stays, and the next attempt works. `JINA_POINTS` says at how many points of each
// kind (scripts/test-large.sh goes through all of them).
import type { Page } from '@playwright/test';
import { Agreement } from './support/agreement';
import { breakGpu, counted, countGpu } from './support/gpu-counter';
import { TEXTS, TEXT_GOLDEN } from './support/golden';
import { Lab, failed, must } from './support/lab';
import { expect, test } from './support/test';

const POINTS = Number(process.env['JINA_POINTS'] ?? 2);
const MODEL = { model: '/models/tiny', device: 'webgpu', worker: false } as const;
const task = 'retrieval.passage';
const ID = 'short|retrieval|passage|single';

/** Those of a load are some hundreds. */
test.describe.configure({ timeout: Math.max(300_000, Math.min(POINTS, 500) * 40_000) });

/** So many numbers from 1 to `last`, evenly apart; all of them where there are no more. */
function points(last: number, wanted = POINTS): number[] {
  const n = Math.min(wanted, last);
  return Array.from({ length: n }, (_, i) => Math.ceil(((i + 0.5) * last) / n));
}

/** After each of these every shader has to be compiled anew. */
const CALL_POINTS = Math.ceil(POINTS / 2);

/** What a sound load and a sound call do, to break each part of it. */
async function countSound(page: Page, lab: Lab): Promise<{ load: { submits: number; made: number }; call: { submits: number; made: number } }> {
  await breakGpu(page, {});
  await lab.load('sound', MODEL);
  const load = await counted(page);
  await breakGpu(page, {});
  await lab.encode('sound', [TEXTS['short']!], { task });
  const call = await counted(page);
  must(await lab.dispose('sound'));
  expect((await counted(page)).bytes).toBe(0);
  return { load, call };
}

async function isRight(lab: Lab, name: string, what: string): Promise<void> {
  const [vector] = await lab.vectors(name, [TEXTS['short']!], { task });
  const agreement = new Agreement(what);
  agreement.compare(ID, vector!, TEXT_GOLDEN.f32(ID));
  agreement.settle(1);
}

test.describe('a device that fails at any point', () => {
  let lab: Lab;
  test.beforeEach(async ({ page, site }) => {
    await countGpu(page);
    lab = await Lab.open(page, site);
  });

  test('lost while loading: the model is loaded once more; lost again, the error is DEVICE_LOST and nothing stays', async ({ page }) => {
    const { load } = await countSound(page, lab);
    for (const at of points(load.submits)) {
      await breakGpu(page, { loseAtSubmit: at, losses: 2 });
      const error = failed(await lab.tryLoad('lost', MODEL));
      expect(error, `at submit ${at} of ${load.submits}`).toMatchObject({ name: 'EmbedderError', code: 'DEVICE_LOST', recoverable: true });
      // The load hears of it where it waits next.
      await expect.poll(async () => (await counted(page)).bytes, `bytes left at submit ${at}`).toBe(0);
      await breakGpu(page, { loseAtSubmit: at, losses: 1 });
      await lab.load('again', MODEL);
      if (at === points(load.submits)[0]) await isRight(lab, 'again', `loaded again after submit ${at}`);
      must(await lab.dispose('again'));
      expect((await counted(page)).bytes).toBe(0);
    }
  });

  test('lost while embedding: the call rejects with DEVICE_LOST, and the next one finds the model loaded again', async ({ page }) => {
    const { call } = await countSound(page, lab);
    await lab.load('lost', MODEL);
    await lab.encode('lost', [TEXTS['short']!], { task });
    for (const at of points(call.submits, CALL_POINTS)) {
      await breakGpu(page, { loseAtSubmit: at });
      const outcome = await lab.tryEncode('lost', [TEXTS['short']!], { task });
      // The last submit may come after the numbers were read.
      if (outcome.error) {
        expect(outcome.error, `at submit ${at} of ${call.submits}`).toMatchObject({ name: 'EmbedderError', code: 'DEVICE_LOST', recoverable: true });
        await expect.poll(async () => (await counted(page)).bytes).toBe(0);
      }
      await breakGpu(page, {});
      await isRight(lab, 'lost', `after a loss at submit ${at} of a call`);
    }
  });

  test('refused a buffer while loading: the error is OUT_OF_MEMORY, nothing stays, and the next load works', async ({ page }) => {
    const { load } = await countSound(page, lab);
    for (const at of points(load.made)) {
      await breakGpu(page, { refuseBuffer: at });
      const error = failed(await lab.tryLoad('refused', MODEL));
      expect(error, `at buffer ${at} of ${load.made}`).toMatchObject({ name: 'EmbedderError', code: 'OUT_OF_MEMORY' });
      await expect.poll(async () => (await counted(page)).bytes, `bytes left at buffer ${at}`).toBe(0);
    }
    await breakGpu(page, {});
    await lab.load('next', MODEL);
    await isRight(lab, 'next', 'after loads that were refused buffers');
  });

  test('refused a buffer while embedding: the call rejects with OUT_OF_MEMORY, nothing stays, and the next one works', async ({ page }) => {
    const { call } = await countSound(page, lab);
    await lab.load('refused', MODEL);
    await lab.encode('refused', [TEXTS['short']!], { task });
    for (const at of points(call.made, CALL_POINTS)) {
      await breakGpu(page, { refuseBuffer: at });
      const outcome = await lab.tryEncode('refused', [TEXTS['short']!], { task });
      const { made, bytes } = await counted(page);
      // A call that finds buffers of the one before makes fewer.
      if (!outcome.error) expect(made).toBeLessThan(at);
      else {
        expect(outcome.error, `at buffer ${at} of ${call.made}`).toMatchObject({ name: 'EmbedderError', code: 'OUT_OF_MEMORY' });
        expect(bytes).toBe(0);
      }
      await breakGpu(page, {});
      await isRight(lab, 'refused', `after buffer ${at} of a call was refused`);
    }
  });

  test('gone with the browser\'s whole graphics process: the call rejects with DEVICE_LOST, and the next one works', async ({ page, browser }) => {
    await lab.load('crashed', MODEL);
    const call = lab.tryEncode('crashed', Array.from({ length: 10 }, () => TEXTS['long']!), { task });
    // What `chrome://gpucrash` does, which opens in no headless browser.
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess');
    expect(failed(await call)).toMatchObject({ name: 'EmbedderError', code: 'DEVICE_LOST', recoverable: true });
    expect((await counted(page)).bytes).toBe(0);
    // The browser takes its time to start the next one.
    await expect.poll(async () => (await lab.tryEncode('crashed', [TEXTS['short']!], { task })).error?.code, { timeout: 60_000 }).toBeUndefined();
    await isRight(lab, 'crashed', 'after a crash of the graphics process');
  });
});
