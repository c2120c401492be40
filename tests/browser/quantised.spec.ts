// GGUF files as others make them, bare: against the reference run on the same dequantised weights (`.ref` beside each).
// Gate: cosine >= 0.99999, for f32 activations. On WebGPU and on the CPU.
import { join } from 'node:path';
import { Agreement } from './support/agreement';
import { TEXTS, imageGroups } from './support/golden';
import { DEVICES, Lab, failed } from './support/lab';
import { FIXTURES } from './support/paths';
import { Safetensors } from './support/safetensors';
import { expect, test } from './support/test';

/** Text files with the retrieval adapter merged in. */
const MERGED = [
  ...['F16', 'Q8_0', 'Q4_0', 'Q4_1'].map((type) => `tiny_gguf/tiny-jina-v4-a-retrieval-${type}`),
  ...['Q4_0', 'Q4_K', 'Q4_K_M', 'Q5_K_M', 'Q6_K', 'Q3_K', 'Q2_K', 'IQ4_NL', 'IQ4_XS'].map((type) => `kquant/tiny-jina-v4-c-retrieval-${type}`),
];
const BASE = 'tiny_gguf/tiny-jina-v4-a-base-Q4_0';
const ADAPTERS = ['retrieval', 'text-matching', 'code'] as const;
const UNGATED = Infinity;

for (const device of DEVICES) {
  test.describe(`GGUF files on ${device}`, () => {
    let lab: Lab;
    test.beforeAll(async ({ browser, site }) => { lab = await Lab.open(await browser.newPage(), site); });
    test.afterAll(async () => { await lab.page.close(); });

    /** Encodes every text of a `.ref` file (`<text>|<query or passage>`) with the adapter, and compares. */
    async function compareTexts(model: string, adapter: string, ref: Safetensors, agreement: Agreement): Promise<number> {
      for (const prompt of ['query', 'passage'] as const) {
        if (adapter === 'text-matching' && prompt === 'passage') continue; // text matching has one prompt, "Query"
        const ids = ref.names().filter((name) => name.endsWith(`|${prompt}`) && !name.startsWith('hazard_vision_in_text'));
        const task = adapter === 'text-matching' ? adapter : `${adapter}.${prompt}`;
        const vectors = await lab.vectors(model, ids.map((id) => TEXTS[id.split('|')[0]!]!), { task });
        ids.forEach((id, i) => agreement.compare(id, vectors[i]!, ref.f32(id)));
      }
      return ref.names().length;
    }

    for (const file of MERGED) {
      test(`${file}.gguf equals the reference on its dequantised weights`, async () => {
        await lab.load('merged', { model: `/fixtures/${file}.gguf`, device });
        const ref = new Safetensors(join(FIXTURES, `${file}.ref.safetensors`));
        const agreement = new Agreement(`${device} ${file}`, UNGATED);
        const n = await compareTexts('merged', 'retrieval', ref, agreement);
        agreement.settle(n - 2);
        const error = failed(await lab.tryEncode('merged', ['a'], { task: 'code.query' }));
        expect(error).toMatchObject({ code: 'TASK_UNAVAILABLE' });
        await lab.dispose('merged');
      });
    }

    test('adapters in files of their own switch with the task', async () => {
      const adapters = Object.fromEntries(ADAPTERS.map((adapter) => [adapter, `/fixtures/tiny_gguf/tiny-jina-v4-a-lora-${adapter}-F32.gguf`]));
      await lab.load('base', { model: { text: `/fixtures/${BASE}.gguf`, adapters }, device });
      for (const adapter of ADAPTERS) {
        const ref = new Safetensors(join(FIXTURES, `${BASE}+lora-${adapter}.ref.safetensors`));
        const agreement = new Agreement(`${device} base + ${adapter}`, UNGATED);
        await compareTexts('base', adapter, ref, agreement);
        agreement.settle(15);
      }
      await lab.dispose('base');
    });

    test("a vision file in llama.cpp's form reads pictures", async () => {
      const model = { text: '/fixtures/tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf', vision: '/fixtures/tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf' };
      await lab.load('mmproj', { model, device });
      const ref = new Safetensors(join(FIXTURES, 'tiny_gguf/mmproj-tiny-jina-v4-a-BF16+text-F16.window112.ref.safetensors'));
      const cases = imageGroups().find(({ task, max_pixels }) => task === 'retrieval.passage' && max_pixels === undefined)!.cases
        .filter(({ id }) => ref.has(`${id}|single`));
      const vectors = await lab.vectors('mmproj', cases.map(({ input }) => input), { task: 'retrieval.passage' });
      const agreement = new Agreement(`${device} mmproj`, UNGATED);
      cases.forEach(({ id }, i) => agreement.compare(id, vectors[i]!, ref.f32(`${id}|single`)));
      agreement.settle(13);
      await lab.dispose('mmproj');
    });
  });
}
