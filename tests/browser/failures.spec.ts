// What can go wrong while the model works ends in a typed error: never in stale numbers, never in a promise that hangs
// (support/lab.ts bounds every call). The device is broken on command by lab/sabotage.js, inside the worker.
import { Agreement } from './support/agreement';
import { TEXTS, TEXT_GOLDEN } from './support/golden';
import { DEVICES, Lab, failed, must } from './support/lab';
import type { LabError } from './support/lab';
import { expect, test } from './support/test';

const TINY = '/models/tiny';
const WORKER = '/lab/sabotaged-worker.js';
const task = 'retrieval.passage';
const LONG = [TEXTS['long']!, TEXTS['long']!, TEXTS['long']!];

/** The package still works in this page: another embedder gives the reference's numbers. */
async function worksAfterwards(lab: Lab): Promise<void> {
  await lab.load('next', { model: TINY, device: 'webgpu' });
  const [vector] = await lab.vectors('next', [TEXTS['short']!], { task });
  const agreement = new Agreement('a new embedder afterwards');
  agreement.compare('short', vector!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
  agreement.settle(1);
}

/** One good call first, except where buffers are refused: those that it leaves behind would serve the next one. */
async function warmUp(lab: Lab, command: string): Promise<void> {
  if (command !== 'allocation') must(await lab.tryEncode('broken', [TEXTS['short']!], { task }));
}

function expectTyped(error: LabError, codes: readonly string[]): void {
  expect(error.name).toBe('EmbedderError');
  expect(codes, error.message).toContain(error.code);
  expect(error.message).not.toBe('');
}

test.describe('on a device that breaks', () => {
  for (const [command, what, codes] of [
    ['lost', 'a lost device', ['DEVICE_LOST']],
    ['allocation', 'a refused allocation', ['OUT_OF_MEMORY']],
    ['panic', 'a Rust panic', ['INTERNAL']],
    ['exception', 'an exception through the wasm frames', ['INTERNAL', 'WORKER_FAILED']],
  ] as const) {
    test(`${what} while encoding ends that call and the waiting ones in a typed error, and the next call starts anew`, async ({ page, site }) => {
      const lab = await Lab.open(page, site);
      await lab.load('broken', { model: TINY, device: 'webgpu', worker: WORKER });
      await warmUp(lab, command);
      const calls = [lab.tryEncode('broken', LONG, { task }), lab.tryEncode('broken', [TEXTS['short']!], { task })];
      await lab.sabotage(command);
      for (const outcome of await Promise.all(calls)) expectTyped(failed(outcome), codes);
      const next = await lab.tryEncode('broken', [TEXTS['short']!], { task });
      // A refused allocation leaves its worker, and the sabotage in it, alive.
      if (command === 'allocation' && next.error) expectTyped(next.error, codes);
      else {
        const agreement = new Agreement(`the same embedder after ${what}`);
        agreement.compare('short', must(next).embeddings[0]!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
        agreement.settle(1);
      }
      await lab.dispose('broken');
      await worksAfterwards(lab);
    });

    test(`${what} between calls ends the next call in a typed error, or in an engine started anew`, async ({ page, site }) => {
      const lab = await Lab.open(page, site);
      await lab.load('broken', { model: TINY, device: 'webgpu', worker: WORKER });
      await warmUp(lab, command);
      await lab.sabotage(command);
      // What is noticed at once is repaired before the call; the rest ends it.
      const next = await lab.tryEncode('broken', [TEXTS['long']!], { task });
      if (next.error) expectTyped(next.error, codes);
      else {
        const agreement = new Agreement(`the same embedder after ${what} between calls`);
        agreement.compare('long', next.value.embeddings[0]!, TEXT_GOLDEN.f32('long|retrieval|passage|single'));
        agreement.settle(1);
      }
      await worksAfterwards(lab);
    });
  }

  for (const [command, what, codes] of [
    ['shader', 'a shader that does not compile', ['GPU_ERROR']],
    ['pipeline', 'a pipeline that cannot be made', ['GPU_ERROR']],
    ['allocation', 'an allocation refused while loading', ['OUT_OF_MEMORY']],
    ['panic', 'a Rust panic while loading', ['INTERNAL']],
  ] as const) {
    test(`${what} ends loading, or the first call, in a typed error`, async ({ page, site }) => {
      const lab = await Lab.open(page, site);
      const loaded = await lab.tryLoad('broken', { model: TINY, device: 'webgpu', worker: `${WORKER}?${command}` });
      const error = loaded.error ?? failed(await lab.tryEncode('broken', [TEXTS['short']!], { task }));
      expectTyped(error, codes);
      await worksAfterwards(lab);
    });
  }

  test('a worker whose script is missing, or which dies, is a typed error', async ({ page, site }) => {
    const lab = await Lab.open(page, site);
    expectTyped(failed(await lab.tryLoad('none', { model: TINY, device: 'wasm', worker: '/lab/no-such-worker.js' })), ['WORKER_FAILED']);
    await worksAfterwards(lab);
  });
});

test.describe('files that cannot be loaded', () => {
  for (const [what, url, codes] of [
    ['a directory that is not there', '/models/none', ['DOWNLOAD_FAILED']],
    ['a GGUF file that is not there', '/models/none.gguf', ['DOWNLOAD_FAILED']],
    ['a file that is no GGUF', '/fixtures/tiny/config.json', ['MODEL_INVALID', 'DOWNLOAD_FAILED']],
    ['an adapter alone', '/fixtures/tiny_gguf/tiny-jina-v4-a-lora-code-F32.gguf', ['MODEL_INVALID', 'MODEL_UNSUPPORTED']],
    ['a vision file alone', '/fixtures/tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf', ['MODEL_INVALID', 'MODEL_UNSUPPORTED']],
  ] as const) {
    test(`${what} is a typed error`, async ({ page, site }) => {
      const lab = await Lab.open(page, site);
      expectTyped(failed(await lab.tryLoad('bad', { model: url, device: 'wasm' })), codes);
      await worksAfterwards(lab);
    });
  }

  test('a file cut short, or altered in one byte, is refused', async ({ page, site }) => {
    const lab = await Lab.open(page, site);
    // One route for all: Playwright waits for ever where it changes them while a worker ends.
    let damage: 'cut' | 'altered' | 'none' = 'none';
    await page.context().route(/\/models\/tiny\/text-.*\.gguf$/, async (route) => {
      if (damage === 'none') return route.continue();
      const response = await route.fetch();
      const body = await response.body();
      if (damage === 'altered') body[body.length - 100]! ^= 1;
      // Other pieces of the file may still be under way, whose page no longer wants them.
      await route.fulfill({ status: response.status(), headers: { ...response.headers(), 'content-length': String(body.length) }, body: damage === 'cut' ? body.subarray(0, body.length - 1000) : body }).catch(() => undefined);
    });
    for (damage of ['cut', 'altered'] as const) {
      expectTyped(failed(await lab.tryLoad('damaged', { model: TINY, device: 'wasm' })), ['INTEGRITY', 'DOWNLOAD_FAILED', 'MODEL_INVALID']);
    }
    damage = 'none';
    await worksAfterwards(lab);
  });
});

for (const device of DEVICES) {
  test.describe(`calls on ${device}`, () => {
    let lab: Lab;
    test.beforeAll(async ({ browser, site }) => {
      lab = await Lab.open(await browser.newPage(), site);
      await lab.load('tiny', { model: TINY, device });
    });
    test.afterAll(async () => { await lab.page.close(); });

    test('five calls at once give exactly what they give one after the other', async () => {
      const lists = ['short', 'question', 'nfd', 'code_rs', 'numbers'].map((id) => [TEXTS[id]!, { image: '/fixtures/tiny/golden/images/emoji_alpha_64.png' }]);
      const together = await lab.encodeTogether('tiny', lists, { task });
      for (const [i, list] of lists.entries()) {
        const alone = await lab.encode('tiny', list, { task });
        expect(together[i]!.embeddings).toEqual(alone.embeddings);
      }
    });

    test('a call whose signal is aborted before, while waiting or at work rejects with an AbortError; the others stay', async () => {
      await lab.abort('before');
      expect(failed(await lab.tryEncode('tiny', ['a'], { task, signal: 'before' })).name).toBe('AbortError');

      const working = lab.tryEncode('tiny', LONG, { task, signal: 'working' });
      const waiting = lab.tryEncode('tiny', LONG, { task, signal: 'waiting' });
      const other = lab.tryEncode('tiny', [TEXTS['short']!], { task });
      await lab.abort('waiting');
      await lab.abort('working', 100);
      expect(failed(await waiting).name).toBe('AbortError');
      expect(failed(await working).name).toBe('AbortError');
      const agreement = new Agreement(`${device} after aborted calls`);
      agreement.compare('short', must(await other).embeddings[0]!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
      agreement.settle(1);
    });

    test('loading can be aborted before and while it is under way', async () => {
      await lab.abort('early');
      expect(failed(await lab.tryLoad('never', { model: TINY, device, signal: 'early' })).name).toBe('AbortError');
      const loading = lab.tryLoad('never', { model: TINY, device, signal: 'midway' });
      await lab.abort('midway', 50);
      expect(failed(await loading).name).toBe('AbortError');
    });

    test('progress while loading: every file, no step back, one hundred at the end', async () => {
      const { events } = must(await lab.tryLoad('watched', { model: TINY, device, progress: true }));
      const of = (status: string): Array<Record<string, unknown>> => events.filter((event) => event['status'] === status);
      expect(of('done').length).toBeGreaterThanOrEqual(3);
      expect(of('ready')).toHaveLength(1);
      expect(events.at(-1)).toEqual({ status: 'ready' });
      const totals = of('progress_total').map(({ loaded }) => Number(loaded));
      expect(totals).toEqual(totals.toSorted((a, b) => a - b));
      expect(of('progress_total').at(-1)).toMatchObject({ progress: 100 });
      expect(new Set(of('progress_total').map(({ total }) => total)).size).toBe(1);
      must(await lab.dispose('watched'));
    });

    test('after dispose every call rejects with DISPOSED, those under way too, and the model can be loaded again', async () => {
      await lab.load('brief', { model: TINY, device });
      const under_way = lab.tryEncode('brief', LONG, { task });
      must(await lab.dispose('brief'));
      expectTyped(failed(await under_way), ['DISPOSED']);
      expectTyped(failed(await lab.tryEncode('brief', ['a'], { task })), ['DISPOSED']);
      must(await lab.dispose('brief'));
      await lab.load('brief', { model: TINY, device });
      must(await lab.tryEncode('brief', ['a'], { task }));
      must(await lab.dispose('brief'));
    });

    test('memory does not grow from call to call', async () => {
      const inputs = [TEXTS['question']!, { image: '/fixtures/tiny/golden/images/cat_crop_168x140.png' }];
      for (let i = 0; i < 3; i++) await lab.encode('tiny', inputs, { task });
      const before = must(await lab.memory('tiny'));
      for (let i = 0; i < 10; i++) await lab.encode('tiny', inputs, { task });
      const after = must(await lab.memory('tiny'));
      expect(after.gpu).toBeLessThanOrEqual(before.gpu);
      expect(after.wasm).toBeLessThanOrEqual(before.wasm);
    });
  });
}
