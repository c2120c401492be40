// The form of the operations that graphics cards run ("tiled"), in the browser's own compiler, on the adapter that the
// tests have: what it computes must be the reference's, though SwiftShader itself would choose the other form.
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { Agreement } from './support/agreement';
import { IMAGE_GOLDEN, TEXTS, TEXT_GOLDEN, imageGroups } from './support/golden';
import { Lab } from './support/lab';
import { FIXTURES } from './support/paths';
import { Safetensors } from './support/safetensors';
import { expect, test } from './support/test';

// One after the other in one page: products of this form are slow on a processor.
const TEXT_IDS = ['empty', 'short', 'question', 'emoji'];
const QUANTISED = ['tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0', 'kquant/tiny-jina-v4-c-retrieval-Q4_K_M'];

test.describe('the form for graphics cards', () => {
  test('texts and pictures of the f32 model equal the reference', async ({ page, site }) => {
    const lab = await Lab.open(page, site);
    await lab.load('tiled', { model: '/models/tiny', device: 'webgpu', kernels: 'tiled' });
    const texts = new Agreement('tiled texts');
    const vectors = await lab.vectors('tiled', TEXT_IDS.map((id) => TEXTS[id]!), { task: 'retrieval.query' });
    TEXT_IDS.forEach((id, i) => texts.compare(id, vectors[i]!, TEXT_GOLDEN.f32(`${id}|retrieval|query|single`)));
    texts.settle(TEXT_IDS.length);

    // Ragged windows, and one picture that needs no resampling.
    const group = imageGroups().find(({ task, max_pixels }) => task === 'retrieval.passage' && max_pixels === undefined)!;
    const cases = group.cases.filter(({ id }) => id === 'windows_252x308' || id === 'cat_crop_168x140');
    const pictures = new Agreement('tiled pictures');
    const found = await lab.vectors('tiled', cases.map(({ input }) => input), { task: group.task });
    cases.forEach(({ id }, i) => pictures.compare(id, found[i]!, IMAGE_GOLDEN.f32(`${id}|retrieval|single`)));
    pictures.settle(2);
    await lab.dispose('tiled');
  });

  for (const file of QUANTISED) {
    test(`${file}.gguf equals the reference on its dequantised weights`, async ({ page, site }) => {
      const lab = await Lab.open(page, site);
      await lab.load('tiled', { model: `/fixtures/${file}.gguf`, device: 'webgpu', kernels: 'tiled' });
      const reference = new Safetensors(join(FIXTURES, `${file}.ref.safetensors`));
      const agreement = new Agreement(`tiled ${file}`);
      const vectors = await lab.vectors('tiled', TEXT_IDS.map((id) => TEXTS[id]!), { task: 'retrieval.query' });
      TEXT_IDS.forEach((id, i) => agreement.compare(id, vectors[i]!, reference.f32(`${id}|query`)));
      agreement.settle(TEXT_IDS.length);
      await lab.dispose('tiled');
    });
  }
});

// On a software adapter nobody measures unasked, but whoever asks gets a choice, and so does the next visit.
test.describe('measured kernels', () => {
  /** Replaces every remembered choice. */
  const plant = (page: Page, value: string): Promise<number> =>
    page.evaluate(async (value) => {
      const wait = <T>(request: IDBRequest<T>): Promise<T> => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
      const database = await wait(indexedDB.open('jina-embeddings-web/device', 1));
      const facts = database.transaction('facts', 'readwrite').objectStore('facts');
      const keys = (await wait(facts.getAllKeys())).filter((key) => String(key).startsWith('kernels/'));
      for (const key of keys) await wait(facts.put(value, key));
      database.close();
      return keys.length;
    }, value);

  test('are remembered for the next embedder, and give the same vectors', async ({ page, site }) => {
    const lab = await Lab.open(page, site);
    const model = { model: '/models/tiny', device: 'webgpu' } as const;
    const fixed = (await lab.load('fixed', model)).kernels;
    await lab.dispose('fixed');
    const measured = (await lab.load('measured', { ...model, kernels: 'measure' })).kernels;
    expect(measured).toMatch(/^(?:(?:registers|tiles)-[^,]+,){5}attention-(?:registers|tiles),norm-\d+$/);
    const texts = new Agreement('measured texts');
    const vectors = await lab.vectors('measured', TEXT_IDS.map((id) => TEXTS[id]!), { task: 'retrieval.query' });
    TEXT_IDS.forEach((id, i) => texts.compare(id, vectors[i]!, TEXT_GOLDEN.f32(`${id}|retrieval|query|single`)));
    texts.settle(TEXT_IDS.length);
    await lab.dispose('measured');
    expect((await lab.load('again', model)).kernels).toBe(measured);
    await lab.dispose('again');

    // Whatever lies in storage is believed only as far as this device can run it.
    const other = measured.includes('attention-tiles') ? measured.replace('attention-tiles', 'attention-registers') : measured.replace('attention-registers', 'attention-tiles');
    expect(await plant(page, other)).toBe(1);
    expect((await lab.load('other', model)).kernels).toBe(other);
    await lab.dispose('other');
    for (const unknown of [measured.replace(/tiles-8|registers-8x8x8x1/, 'tiles-8-f16,tiles-8'), 'anything']) {
      await plant(page, unknown);
      expect((await lab.load('unknown', model)).kernels).toBe(fixed);
      await lab.dispose('unknown');
    }
  });
});

// Every dispatch of the browser, whoever asked for it, where the Rust tests count this crate's own launches.
for (const kernels of ['tiled', 'direct'] as const) {
  test(`a layer with its adapter takes at most eight dispatches, ${kernels}`, async ({ page, site }) => {
    const lab = await Lab.open(page, site);
    await page.evaluate(() => {
      const { prototype } = GPUComputePassEncoder;
      const dispatch = prototype.dispatchWorkgroups;
      Object.assign(globalThis, { dispatches: 0 });
      prototype.dispatchWorkgroups = function (...groups) {
        (globalThis as unknown as { dispatches: number }).dispatches += 1;
        return dispatch.apply(this, groups);
      };
    });
    await lab.load('counted', { model: '/models/tiny', device: 'webgpu', kernels, worker: false });
    const during = async (input: string | { image: string }): Promise<number> => {
      await lab.vectors('counted', [input], { task: 'retrieval.query' });
      await page.evaluate(() => Object.assign(globalThis, { dispatches: 0 }));
      await lab.vectors('counted', [input], { task: 'retrieval.query' });
      return page.evaluate(() => (globalThis as unknown as { dispatches: number }).dispatches);
    };
    // Four layers each; beside them the rows of the tokens, the last norm, the mean, and of a picture the patches and
    // their order, the merger with its GELU, the way back, and its tokens put among those of the text.
    const [text, picture] = [await during(TEXTS['short']!), await during({ image: '/samples/coffee.jpg' })];
    console.log(`${kernels}: ${text} dispatches for a text, ${picture} for a picture, 4 and 4 + 4 layers`);
    expect(text).toBeLessThanOrEqual(4 * 8 + 4);
    expect(picture).toBeLessThanOrEqual(8 * 8 + 20);
    await lab.dispose('counted');
  });
}
