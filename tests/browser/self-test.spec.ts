// A device that computes wrong numbers without any error is found out by the vectors that a model directory brings, and a
// visit that ended the page is remembered by the next one.
import { createHash } from 'node:crypto';
import type { BrowserContext, Page } from '@playwright/test';
import { breakGpu, countGpu } from './support/gpu-counter';
import { TEXTS } from './support/golden';
import { Lab, failed, must } from './support/lab';
import { expect, test } from './support/test';

const TINY = '/models/tiny';
const HERE = { model: TINY, device: 'webgpu', worker: false } as const;
const task = 'retrieval.passage';
/** Refuses every connection; it is never asked anything but whether it is an address. */
const HOSTED = { baseURL: 'http://127.0.0.1:9/v1' };

interface SelfTestFile { format: string; format_version: number; space: string; computed_by: string; cases: object[] }

/** What was asked for, and what is answered in its place. */
interface Served { asked: number; instead?: { body: string } | { status: number } }

/** Computes the vectors on the CPU, and serves them as if the model directory had them. */
async function serveSelfTest(context: BrowserContext, lab: Lab, damage: (file: SelfTestFile) => void = () => undefined): Promise<Served> {
  const { space } = await lab.load('reference', { model: TINY, device: 'wasm', worker: false });
  const text = TEXTS['short']!;
  const { embeddings, usage } = await lab.encode('reference', [text], { task });
  must(await lab.dispose('reference'));
  const values = embeddings[0]!.values;
  const embedding = Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  const file: SelfTestFile = {
    format: 'jina-embeddings-web/self-test', format_version: 1, space, computed_by: 'the test',
    cases: [{ name: 'a text', task, text, n_tokens: usage.tokens, min_cosine: 0.9999, embedding }],
  };
  damage(file);
  const body = JSON.stringify(file);
  const sha256 = createHash('sha256').update(body).digest('hex');
  // Answered by one route throughout: Playwright waits for ever where it changes routes while a worker ends.
  const served: Served = { asked: 0 };
  await context.route('**/models/tiny/model.json', async (route) => {
    const manifest = (await (await route.fetch()).json()) as object;
    await route.fulfill({ json: { ...manifest, self_test: { path: 'self-test.json', n_bytes: body.length, sha256 } } });
  });
  await context.route('**/models/tiny/self-test.json', (route) => {
    served.asked++;
    return route.fulfill(served.instead ?? { contentType: 'application/json', body });
  });
  return served;
}

async function open(page: Page, site: string): Promise<Lab> {
  await countGpu(page);
  return Lab.open(page, site);
}

const statuses = (events: readonly Record<string, unknown>[]): unknown[] => events.map(({ status }) => status);

test.describe('the self-test', () => {
  test('passes once, and is remembered by the next visit', async ({ page, site }) => {
    let lab = await open(page, site);
    const served = await serveSelfTest(page.context(), lab);
    const first = must(await lab.tryLoad('first', { ...HERE, progress: true }));
    expect(first.info.selfTest).toBe('passed');
    expect(statuses(first.events).slice(-3)).toEqual(['compile', 'selftest', 'ready']);
    lab = await Lab.open(page, site);
    const second = must(await lab.tryLoad('second', { ...HERE, progress: true }));
    expect(second.info.selfTest).toBe('remembered');
    expect(statuses(second.events)).not.toContain('selftest');
    expect(served.asked).toBe(1);
  });

  test('finds out a device that computes wrong numbers: typed, remembered before the next download, and served elsewhere', async ({ page, site }) => {
    const lab = await open(page, site);
    await serveSelfTest(page.context(), lab);
    await breakGpu(page, { corrupt: true });
    expect(failed(await lab.tryLoad('wrong', HERE))).toMatchObject({ name: 'EmbedderError', code: 'SELFTEST_FAILED', recoverable: false });
    await breakGpu(page, {});
    const weights: string[] = [];
    page.on('request', (request) => { if (request.url().endsWith('.gguf')) weights.push(request.url()); });
    expect(failed(await lab.tryLoad('known', HERE))).toMatchObject({ code: 'SELFTEST_FAILED' });
    const { fallbacks } = must(await lab.tryLoad('elsewhere', { ...HERE, mode: 'prefer-local', hosted: HOSTED }));
    expect(fallbacks.map(({ code }) => code)).toEqual(['SELFTEST_FAILED']);
    expect(weights).toEqual([]);
    must(await lab.forgetDevice());
    expect((await lab.load('forgiven', HERE)).selfTest).toBe('passed');
  });

  test('whose vectors are of other weights, or were altered, refuses the model; without any it loads', async ({ page, site }) => {
    const lab = await open(page, site);
    const context = page.context();
    expect((await lab.load('bare', HERE)).selfTest).toBe('none');
    const served = await serveSelfTest(context, lab, (file) => { file.space = 'another'; });
    expect(failed(await lab.tryLoad('another', HERE))).toMatchObject({ code: 'MODEL_INVALID' });
    served.instead = { body: '{}' };
    expect(failed(await lab.tryLoad('altered', HERE))).toMatchObject({ code: 'INTEGRITY' });
    served.instead = { status: 404 };
    expect((await lab.load('offline', HERE)).selfTest).toBe('none');
  });
});

test.describe('a page that ends while the model loads', () => {
  /** Begins a load whose weights never come. */
  async function hang(page: Page, site: string): Promise<void> {
    const lab = await Lab.open(page, site);
    await page.route('**/*.gguf', () => undefined);
    const asked = page.waitForRequest('**/*.gguf');
    void lab.tryLoad('hanging', HERE).catch(() => undefined);
    await asked;
  }

  test('is remembered: the hosted API serves, this device alone tries again, and success clears it', async ({ browser, site }) => {
    const context = await browser.newContext();
    const [first, second] = [await context.newPage(), await context.newPage()];
    const lab = await Lab.open(second, site);
    const tell = async (): Promise<Record<string, unknown>> => must(await lab.availability({ model: TINY, mode: 'prefer-local', hosted: HOSTED }));
    await hang(first, site);
    // Another tab that is at it is no crash.
    expect((await tell())['crashed']).toBeUndefined();
    const ended = first.waitForEvent('crash');
    const session = await context.newCDPSession(first);
    void session.send('Page.crash').catch(() => undefined);
    await ended;
    await expect.poll(async () => (await tell())['crashed']).toMatchObject({ since: expect.stringMatching(/^\d{4}-/) });
    expect((await tell())['source']).toBe('hosted');
    const { fallbacks } = must(await lab.tryLoad('elsewhere', { ...HERE, mode: 'prefer-local', hosted: HOSTED }));
    expect(fallbacks.map(({ code }) => code)).toEqual(['LOCAL_UNAVAILABLE']);
    await lab.load('again', HERE);
    expect(await tell()).toMatchObject({ source: 'local' });
    expect((await tell())['crashed']).toBeUndefined();
    await context.close();
  });

  test('because its visitor left, or the load failed, is no crash; and the caller can have it forgotten', async ({ browser, site }) => {
    const context = await browser.newContext();
    const [first, second] = [await context.newPage(), await context.newPage()];
    const lab = await Lab.open(second, site);
    const crashed = async (): Promise<unknown> => must(await lab.availability({ model: TINY }))['crashed'];
    await hang(first, site);
    await first.goto('about:blank');
    expect(await crashed()).toBeUndefined();
    failed(await lab.tryLoad('budget', { ...HERE, gpuBudget: 1 }));
    expect(await crashed()).toBeUndefined();
    const mark = JSON.stringify({ id: 'gone', since: '2026-01-01T00:00:00.000Z' });
    await second.evaluate(([key, value]) => localStorage.setItem(`jina-embeddings-web/crash/${key}`, value!), [new URL('/models/tiny/', site).href, mark] as const);
    expect(await crashed()).toEqual({ since: '2026-01-01T00:00:00.000Z' });
    must(await lab.forgetDevice());
    expect(await crashed()).toBeUndefined();
    await context.close();
  });
});
