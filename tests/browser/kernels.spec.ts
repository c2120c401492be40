// The form of the operations that graphics cards run ("tiled"), in the browser's own compiler, on the adapter that the
// tests have: what it computes must be the reference's, though SwiftShader itself would choose the other form.
import { join } from 'node:path';
import { Agreement } from './support/agreement';
import { IMAGE_GOLDEN, TEXTS, TEXT_GOLDEN, imageGroups } from './support/golden';
import { Lab } from './support/lab';
import { FIXTURES } from './support/paths';
import { Safetensors } from './support/safetensors';
import { test } from './support/test';

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
