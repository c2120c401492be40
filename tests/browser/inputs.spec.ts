// Bad input is a typed error that names the input's index and the rule, or it is what the reference makes of it; the
// other inputs of the call and the embedder stay usable.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agreement } from './support/agreement';
import { TEXTS, TEXT_GOLDEN } from './support/golden';
import { tensorOffset } from './support/gguf';
import { DEVICES, Lab, failed, must } from './support/lab';
import type { LabInput } from './support/lab';
import { FIXTURES } from './support/paths';
import { expect, test } from './support/test';

const task = 'retrieval.passage';
const GOOD = TEXTS['short']!;
const N_LONG = 100_000;

for (const device of DEVICES) {
  test.describe(`bad input on ${device}`, () => {
    let lab: Lab;
    test.beforeAll(async ({ browser, site }) => {
      lab = await Lab.open(await browser.newPage(), site);
      await lab.load('tiny', { model: '/models/tiny', device });
    });
    test.afterAll(async () => { await lab.page.close(); });

    function expectGood(vector: { values: Float32Array; rows: number } | null | undefined): void {
      const agreement = new Agreement(`${device} beside a bad input`);
      agreement.compare('short', vector ?? { values: new Float32Array(), rows: 0 }, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
      agreement.settle(1);
    }

    const text_as_png: LabInput = { imageBytes: [...Buffer.from('The quick brown fox jumps over the lazy dog.')], type: 'image/png' };
    const cut_png: LabInput = { imageBytes: [...readFileSync(join(FIXTURES, 'tiny/golden/images/cat_crop_168x140.png')).subarray(0, 2000)] };
    const bad: ReadonlyArray<readonly [what: string, input: LabInput, rule: RegExp]> = [
      ['a text file called .png', text_as_png, /picture|image|format|PNG/i],
      ['a picture cut off in the middle', cut_png, /PNG|picture|image|end|data/i],
      ['an empty file', { imageBytes: [] }, /empty|picture|image|format/i],
      ['a 1 x 5000 strip', { blank: [1, 5000] }, /200|ratio/i],
      ['an address that is not there', { address: '/fixtures/none.png' }, /404/],
      ['something that is neither text nor picture', 42 as never as LabInput, /string/],
      ['a text that is not a string', { text: 7 } as never as LabInput, /string/],
    ];
    for (const [what, input, rule] of bad) {
      test(`${what} rejects the call with its index and the rule, or leaves the others alone`, async () => {
        const error = failed(await lab.tryEncode('tiny', [GOOD, input, GOOD], { task }));
        expect(error).toMatchObject({ name: 'EmbedderError', recoverable: false });
        expect(error.inputs).toHaveLength(1);
        expect(error.inputs[0]).toMatchObject({ index: 1 });
        expect(error.inputs[0]!.message).toMatch(rule);

        const { embeddings, errors } = await lab.encode('tiny', [GOOD, input, GOOD], { task, onInputError: 'null' });
        expect(embeddings[1]).toBeNull();
        expect(errors.map(({ index }) => index)).toEqual([1]);
        expectGood(embeddings[0]);
        expectGood(embeddings[2]);
      });
    }

    test('several bad inputs are all named, in order', async () => {
      const error = failed(await lab.tryEncode('tiny', [text_as_png, GOOD, { blank: [1, 5000] }], { task }));
      expect(error.inputs.map(({ index }) => index)).toEqual([0, 2]);
      expectGood(must(await lab.tryEncode('tiny', [GOOD], { task })).embeddings[0]);
    });

    test('an empty list is an error', async () => {
      expect(failed(await lab.tryEncode('tiny', [], { task }))).toMatchObject({ code: 'INPUT_INVALID' });
    });

    test('an empty string is what the reference makes of it', async () => {
      const [vector] = await lab.vectors('tiny', [''], { task });
      const agreement = new Agreement(`${device} empty string`);
      agreement.compare('empty', vector!, TEXT_GOLDEN.f32('empty|retrieval|passage|single'));
      agreement.settle(1);
    });

    test('a text of 100,000 characters is cut like any other', async () => {
      const text = `${TEXTS['long']!} `.repeat(Math.ceil(N_LONG / TEXTS['long']!.length)).slice(0, N_LONG);
      const [vector, other] = await lab.vectors('tiny', [text, GOOD], { task, maxLength: 32 });
      const agreement = new Agreement(`${device} long text`);
      agreement.compare('long', vector!, TEXT_GOLDEN.f32('long|maxlen32|single'));
      agreement.settle(1);
      expectGood(other);
    });

    test('a picture of one pixel is enlarged to the smallest size', async () => {
      const [vector, other] = await lab.vectors('tiny', [{ blank: [1, 1] }, GOOD], { task });
      expect(Math.hypot(...vector!.values)).toBeCloseTo(1, 5);
      expectGood(other);
    });

    for (const [what, options, rule] of [
      ['dimensions that the model was not trained for', { task, dimensions: 100 }, /16.*32.*64.*128/],
      ['no dimensions', { task, dimensions: 0 }, /dimensions/],
      ['more dimensions than there are', { task, dimensions: 4096 }, /128/],
      ['an unknown task', { task: 'classification' }, /retrieval\.query/],
      ['a pixel limit of zero', { task, maxPixels: 0 }, /maxPixels/],
      ['a maximum length of zero', { task, maxLength: 0 }, /maxLength/],
      ['late chunking of a picture', { task, lateChunking: true }, /text/i],
    ] as const) {
      test(`${what} is an error that says what is allowed`, async () => {
        const inputs: LabInput[] = 'lateChunking' in options ? [GOOD, { blank: [56, 56] }] : [GOOD];
        const error = failed(await lab.tryEncode('tiny', inputs, options));
        expect(error).toMatchObject({ name: 'EmbedderError', code: 'INPUT_INVALID' });
        expect([error.message, ...error.inputs.map(({ message }) => message)].join(' ')).toMatch(rule);
        expectGood(must(await lab.tryEncode('tiny', [GOOD], { task })).embeddings[0]);
      });
    }

    test('a NaN among the weights is an error, not a vector', async () => {
      const name = 'tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf';
      const file = readFileSync(join(FIXTURES, name));
      file.writeFloatLE(NaN, tensorOffset(file, 'output_norm.weight'));
      await lab.page.context().route('**/models/nan.gguf', (route) => route.fulfill({ status: 200, contentType: 'application/octet-stream', body: file }));
      const loaded = await lab.tryLoad('nan', { model: '/models/nan.gguf', device });
      const error = loaded.error ?? failed(await lab.tryEncode('nan', [GOOD], { task }));
      expect(['NOT_FINITE', 'MODEL_INVALID'], error.message).toContain(error.inputs[0]?.code ?? error.code);
      expectGood(must(await lab.tryEncode('tiny', [GOOD], { task })).embeddings[0]);
    });

    test('a picture for a model without a vision part is an error that says so', async () => {
      await lab.load('text', { model: '/fixtures/tiny_gguf/tiny-jina-v4-a-retrieval-Q8_0.gguf', device });
      const error = failed(await lab.tryEncode('text', [GOOD, { blank: [56, 56] }], { task }));
      expect(error.inputs[0]).toMatchObject({ index: 1 });
      expect(failed(await lab.tryEncode('text', [GOOD], { task, returnMultivector: true }))).toMatchObject({ name: 'EmbedderError' });
      must(await lab.dispose('text'));
    });
  });
}
