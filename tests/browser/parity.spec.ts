// Every golden of the reference implementation, computed by the built package in Chromium: on WebGPU and on the CPU.
// Gates: cosine >= 0.99999 and max abs <= 1e-4 (support/agreement.ts).
import { Agreement, compareVectors } from './support/agreement';
import { CHUNKS, DIMS, IMAGE_GOLDEN, TEXTS, TEXT_GOLDEN, TRUNCATION, imageGroups, textCasesByTask } from './support/golden';
import { DEVICES, Lab } from './support/lab';
import { expect, test } from './support/test';

const TEN_MINUTES_MS = 600_000;
const PROJECTOR_DIM = 32;

for (const device of DEVICES) {
  test.describe(`f32 weights on ${device}`, () => {
    test.describe.configure({ mode: 'default', timeout: TEN_MINUTES_MS });
    let lab: Lab;

    test.beforeAll(async ({ browser, site }) => {
      lab = await Lab.open(await browser.newPage(), site);
      const { adapter, model } = await lab.load('tiny', { model: '/models/tiny', device });
      console.log(`${device}: ${[adapter.vendor, adapter.architecture, adapter.name].filter(Boolean).join(' ') || 'CPU'}`);
      expect(model.tasks.toSorted()).toEqual(['code', 'retrieval', 'text-matching']);
      expect(model.projectorDim).toBe(PROJECTOR_DIM);
    });
    test.afterAll(async () => { await lab.page.close(); });

    for (const [task, cases] of textCasesByTask()) {
      test(`texts for ${task} equal the reference, whole, truncated to ${DIMS.join(', ')}, and token by token`, async () => {
        const inputs = cases.map(({ text_id }) => TEXTS[text_id]!);
        const single = new Agreement(`${device} ${task} single`);
        const vectors = await lab.vectors('tiny', inputs, { task });
        cases.forEach(({ id }, i) => single.compare(id, vectors[i]!, TEXT_GOLDEN.f32(`${id}|single`)));
        single.settle(cases.length);

        const shorter = new Agreement(`${device} ${task} dimensions`);
        for (const dimensions of DIMS) {
          const truncated = await lab.vectors('tiny', inputs, { task, dimensions });
          cases.forEach(({ id }, i) => shorter.compare(`${id} at ${dimensions}`, truncated[i]!, TEXT_GOLDEN.f32(`${id}|dim${dimensions}`)));
        }
        shorter.settle(cases.length * DIMS.length);

        const stored = cases.filter(({ multi_stored }) => multi_stored);
        const multi = new Agreement(`${device} ${task} multi-vector`);
        const { embeddings } = await lab.encode('tiny', stored.map(({ text_id }) => TEXTS[text_id]!), { task, returnMultivector: true });
        stored.forEach(({ id }, i) => multi.compare(id, embeddings[i]!, TEXT_GOLDEN.f32(`${id}|multi`)));
        multi.settle(stored.reduce((sum, { n_tokens }) => sum + n_tokens, 0));
      });
    }

    test('pictures equal the reference for every task, whole, truncated, token by token, and with a pixel limit', async () => {
      const single = new Agreement(`${device} pictures single`), shorter = new Agreement(`${device} pictures dimensions`);
      const multi = new Agreement(`${device} pictures multi-vector`);
      let n_cases = 0;
      for (const { task, reference_task, max_pixels: maxPixels, cases } of imageGroups()) {
        const inputs = cases.map(({ input }) => input);
        n_cases += cases.length;
        const vectors = await lab.vectors('tiny', inputs, { task, maxPixels });
        cases.forEach(({ id }, i) => single.compare(`${id}|${reference_task}`, vectors[i]!, IMAGE_GOLDEN.f32(`${id}|${reference_task}|single`)));
        const [dimensions] = DIMS; // the truncation is that of the texts, which have every length
        const truncated = await lab.vectors('tiny', inputs, { task, maxPixels, dimensions });
        cases.forEach(({ id }, i) => shorter.compare(`${id}|${reference_task}`, truncated[i]!, IMAGE_GOLDEN.f32(`${id}|${reference_task}|dim${dimensions}`)));
        if (reference_task !== 'retrieval') continue;
        const { embeddings } = await lab.encode('tiny', inputs, { task, maxPixels, returnMultivector: true });
        cases.forEach(({ id }, i) => multi.compare(id, embeddings[i]!, IMAGE_GOLDEN.f32(`${id}|retrieval|multi`)));
      }
      single.settle(n_cases);
      shorter.settle(n_cases);
      multi.settle(n_cases);
    });

    test('a text that is too long is cut at maxLength tokens, as the reference cuts it', async () => {
      const agreement = new Agreement(`${device} truncation`);
      for (const { text_id, max_length: maxLength } of TRUNCATION) {
        const inputs = [TEXTS[text_id]!], task = 'retrieval.passage';
        const [single] = await lab.vectors('tiny', inputs, { task, maxLength });
        agreement.compare(`maxlen${maxLength}`, single!, TEXT_GOLDEN.f32(`long|maxlen${maxLength}|single`));
        const [multi] = await lab.vectors('tiny', inputs, { task, maxLength, returnMultivector: true });
        agreement.compare(`maxlen${maxLength} multi`, multi!, TEXT_GOLDEN.f32(`long|maxlen${maxLength}|multi`));
      }
      agreement.settle(TRUNCATION.reduce((sum, { max_length }) => sum + 1 + max_length, 0));
    });

    test('late chunking reads the chunks as one document', async () => {
      const agreement = new Agreement(`${device} late chunking`);
      const vectors = await lab.vectors('tiny', CHUNKS, { task: 'retrieval.passage', lateChunking: true });
      vectors.forEach((vector, i) => agreement.compare(`chunk ${i}`, vector, TEXT_GOLDEN.f32(`late|chunk${i}`)));
      agreement.settle(CHUNKS.length);
    });

    test("a text with the model's own vision tokens in it does not switch the pooling, nor touch the others of its call", async () => {
      const hazard = TEXTS['hazard_vision_in_text']!, task = 'retrieval.passage';
      const [vector, other] = await lab.vectors('tiny', [hazard, TEXTS['short']!], { task });
      expect(Math.hypot(...vector!.values)).toBeCloseTo(1, 5);
      // The reference's vector pools only the words between the tokens; ours must not be it.
      const { cosine } = compareVectors(vector!.values, TEXT_GOLDEN.f32('hazard_vision_in_text|retrieval|passage|single').values);
      expect(cosine).toBeLessThan(0.999);
      const agreement = new Agreement(`${device} beside vision tokens`);
      agreement.compare('short', other!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
      agreement.settle(1);
    });

    test('texts and pictures may share a call, in any order', async () => {
      const group = imageGroups().find(({ task, max_pixels }) => task === 'retrieval.passage' && max_pixels === undefined)!;
      const picture = group.cases.find(({ id }) => id === 'cat_crop_168x140')!;
      const vectors = await lab.vectors('tiny', [TEXTS['short']!, picture.input, { text: TEXTS['nfd']! }, picture.input], { task: 'retrieval.passage' });
      const agreement = new Agreement(`${device} mixed call`);
      const golden = ['short|retrieval|passage', 'cat', 'nfd|retrieval|passage', 'cat'];
      golden.forEach((id, i) => agreement.compare(id, vectors[i]!,
        id === 'cat' ? IMAGE_GOLDEN.f32(`${picture.id}|retrieval|single`) : TEXT_GOLDEN.f32(`${id}|single`)));
      agreement.settle(golden.length);
    });

    test('a picture gives the same vector as a file, an address, a bitmap, pixels or a canvas', async () => {
      const file = '/fixtures/tiny/golden/images/cat_crop_168x140.png';
      const vectors = await lab.vectors('tiny', [
        { image: file }, { address: file }, { drawn: file, as: 'ImageBitmap' }, { drawn: file, as: 'ImageData' },
        { drawn: file, as: 'canvas' }, { drawn: file, as: 'OffscreenCanvas' },
      ], { task: 'retrieval.passage' });
      const agreement = new Agreement(`${device} picture sources`);
      vectors.forEach((vector, i) => agreement.compare(`source ${i}`, vector, IMAGE_GOLDEN.f32('cat_crop_168x140|retrieval|single')));
      agreement.settle(vectors.length);
    });
  });
}

test('the engine in the calling thread (worker: false) gives the same vectors', async ({ page, site }) => {
  const lab = await Lab.open(page, site);
  await lab.load('here', { model: '/models/tiny', device: 'webgpu', worker: false });
  const ids = ['short', 'question', 'nfd'];
  const vectors = await lab.vectors('here', ids.map((id) => TEXTS[id]!), { task: 'retrieval.query' });
  const agreement = new Agreement('worker: false');
  ids.forEach((id, i) => agreement.compare(id, vectors[i]!, TEXT_GOLDEN.f32(`${id}|retrieval|query|single`)));
  agreement.settle(ids.length);
});
