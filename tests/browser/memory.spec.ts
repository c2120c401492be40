// Graphics memory: stated before anything is downloaded, held to while the model works, given back at once. The buffers
// are counted from outside the package (support/gpu-counter.ts).
import { Agreement } from './support/agreement';
import { breakGpu, counted, countGpu } from './support/gpu-counter';
import { TEXTS, TEXT_GOLDEN } from './support/golden';
import { Lab, failed, must } from './support/lab';
import { expect, test } from './support/test';

const TINY = '/models/tiny';
const task = 'retrieval.passage';
const CAT = { image: '/fixtures/tiny/golden/images/cat_crop_168x140.png' };
const HERE = { model: TINY, device: 'webgpu', worker: false } as const;
const words = (n: number): string => Array.from({ length: n }, (_, i) => ['river', 'stone', 'cloud', 'lamp'][i % 4]).join(' ');

interface Stated { weightBytes: number; scratchBytes: number; peakBytes: number; promisedTokens: number; budgetBytes: number | null; fits: boolean | null; reason?: { code: string } }

test.describe('graphics memory', () => {
  let lab: Lab;
  test.beforeEach(async ({ page, site }) => {
    await countGpu(page);
    lab = await Lab.open(page, site);
  });

  async function stated(options: object = {}): Promise<Stated> {
    return must(await lab.availability({ model: TINY, device: 'webgpu', ...options }))['memory'] as Stated;
  }

  test('stays below what was stated before the download, and falls back after every call', async ({ page }) => {
    const { scratchBytes, peakBytes, promisedTokens, fits } = await stated();
    expect(fits).toBe(true);
    // The probe reserved all of it, and gave it back.
    expect((await counted(page)).bytes).toBe(0);
    await breakGpu(page, {});
    const info = await lab.load('counted', HERE);
    const loaded = await counted(page);
    expect(loaded.bytes).toBe(info.memory.gpu);
    // Small tensors are rounded up by more than large ones, so it is the whole that is held to.
    expect(loaded.peakBytes, 'the most while loading').toBeLessThanOrEqual(peakBytes);
    await lab.encode('counted', [TEXTS['short']!], { task });
    const settled = (await counted(page)).bytes;
    for (const inputs of [[words(20)], [words(200), words(400), words(700)], [CAT], [CAT, words(500)], [words(40)]]) {
      await breakGpu(page, {});
      const { usage } = await lab.encode('counted', inputs, { task });
      const { peakBytes: peak, bytes, made } = await counted(page);
      console.log(`${usage.tokens} tokens, ${usage.images} pictures: ${made} buffers, ${peak - settled} bytes above ${settled}; ${scratchBytes} stated`);
      expect(usage.tokens / inputs.length).toBeLessThanOrEqual(promisedTokens);
      expect(peak, 'the most at once').toBeLessThanOrEqual(peakBytes);
      expect(bytes, 'after the call').toBeLessThanOrEqual(settled);
    }
    const { gpu, gpuPeak } = must(await lab.memory('counted'));
    expect(gpu).toBe((await counted(page)).bytes);
    expect(gpuPeak).toBeLessThanOrEqual(peakBytes);
  });

  test('is given back by dispose, buffer by buffer, and the next embedder works', async ({ page }) => {
    for (let cycle = 0; cycle < 2; cycle++) {
      await breakGpu(page, {});
      await lab.load('brief', HERE);
      const [vector] = await lab.vectors('brief', [TEXTS['short']!], { task });
      const agreement = new Agreement(`load ${cycle + 1}`);
      agreement.compare('short', vector!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
      agreement.settle(1);
      expect((await counted(page)).bytes).toBeGreaterThan(0);
      must(await lab.dispose('brief'));
      const { bytes, made, destroyed } = await counted(page);
      expect(bytes).toBe(0);
      expect(destroyed).toBe(made);
    }
  });

  test('is given back by a load that is cancelled, or whose files are bad', async ({ page }) => {
    const loading = lab.tryLoad('never', { ...HERE, signal: 'midway' });
    await lab.abort('midway', 50);
    expect(failed(await loading).name).toBe('AbortError');
    await expect.poll(async () => (await counted(page)).bytes).toBe(0);
    failed(await lab.tryLoad('bad', { ...HERE, model: '/fixtures/tiny/config.json' }));
    expect((await counted(page)).bytes).toBe(0);
  });

  test('of a budget that is too small refuses the model before any of it is downloaded', async ({ page }) => {
    const { peakBytes } = await stated();
    const gpuBudget = peakBytes - 1;
    const told = await stated({ gpuBudget });
    expect(told).toMatchObject({ fits: false, budgetBytes: gpuBudget, reason: { code: 'OUT_OF_MEMORY' } });
    expect(must(await lab.availability({ model: TINY, device: 'webgpu', gpuBudget }))).toMatchObject({ source: null, device: null });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    expect(failed(await lab.tryLoad('large', { ...HERE, gpuBudget }))).toMatchObject({ code: 'OUT_OF_MEMORY', recoverable: false });
    expect(asked.filter((path) => path.endsWith('.gguf'))).toEqual([]);
    await lab.load('fits', { ...HERE, gpuBudget: peakBytes });
  });

  test('that the device refuses to reserve refuses the model before any of it is downloaded', async ({ page }) => {
    await breakGpu(page, { refuseBuffer: 1 });
    expect(await stated()).toMatchObject({ fits: false, reason: { code: 'OUT_OF_MEMORY' } });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await breakGpu(page, { refuseBuffer: 1 });
    expect(failed(await lab.tryLoad('large', HERE))).toMatchObject({ name: 'EmbedderError', code: 'OUT_OF_MEMORY' });
    expect(asked.filter((path) => path.endsWith('.gguf'))).toEqual([]);
    expect((await counted(page)).bytes).toBe(0);
  });

  test('holds a text that is too long for the budget to be one bad input, before it is computed', async () => {
    const images = { parts: { images: false } };
    const { peakBytes } = await stated(images);
    const info = await lab.load('tight', { ...HERE, ...images, gpuBudget: peakBytes });
    expect(info.model.longestText).toBeLessThan(info.model.maxTokens);
    const long = words(2 * info.model.longestText);
    const { embeddings, errors } = await lab.encode('tight', [long, TEXTS['short']!], { task, onInputError: 'null' });
    expect(embeddings[0]).toBeNull();
    expect(errors).toMatchObject([{ index: 0, code: 'OUT_OF_MEMORY' }]);
    const agreement = new Agreement('beside a text that is too long');
    agreement.compare('short', embeddings[1]!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
    agreement.settle(1);
    expect(failed(await lab.tryEncode('tight', [TEXTS['short']!, long], { task, lateChunking: true }))).toMatchObject({ code: 'OUT_OF_MEMORY', inputs: [{ index: 1 }] });
    must(await lab.tryEncode('tight', [TEXTS['short']!], { task }));
  });
});
