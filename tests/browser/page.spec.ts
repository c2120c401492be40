// The search page as a visitor meets it, on WebGPU (SwiftShader).
import type { Locator, Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IMAGE_GOLDEN, TEXTS, TEXT_GOLDEN } from './support/golden';
import { GOLDEN } from './support/paths';
import { expect, test } from './support/test';

const PICTURES = ['cat_crop_168x140.png', 'emoji_alpha_64.png', 'gray_153x97.png', 'palette_190x205.png', 'windows_224x112.png', 'anim_90x63.gif'];
const PASSAGES = ['one_char', 'short', 'nfc', 'multiling', 'emoji', 'longword'];
const N_SAMPLES = 42;

// Requests that a service worker makes do not pass the tests' routes.
test.use({ serviceWorkers: 'block' });

const cards = (page: Page): Locator => page.locator('#results .card');

/** Opens the page, and fails the test on any error in the console, a policy violation included. */
async function open(page: Page, site: string, query = ''): Promise<string[]> {
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  await page.goto(`${site}${query}`);
  return complaints;
}

async function ready(page: Page): Promise<void> {
  await expect(page.locator('#device-pill')).toBeVisible();
  await expect(page.locator('#load')).toBeHidden();
}

/** By their vectors alone, as the reference ranks them. */
async function byMeaning(page: Page): Promise<void> {
  await page.locator('.filter').getByText('Meaning').click();
}

async function empty(page: Page): Promise<void> {
  await expect(cards(page)).toHaveCount(N_SAMPLES);
  await page.getByRole('button', { name: 'Clear the table' }).click();
  await expect(cards(page)).toHaveCount(0);
}

/** Similarity of a golden query to everything laid out, best first. */
function goldenOrder(query_id: string): Array<{ name: string; score: number }> {
  const query = TEXT_GOLDEN.f32(`${query_id}|retrieval|query|single`).values;
  const score = (vector: Float32Array): number => vector.reduce((sum, value, i) => sum + value * query[i]!, 0);
  return [
    ...PICTURES.map((file) => ({ name: file, score: score(IMAGE_GOLDEN.f32(`${file.replace(/\.\w+$/, '')}|retrieval|single`).values) })),
    ...PASSAGES.map((id) => ({ name: TEXTS[id]!, score: score(TEXT_GOLDEN.f32(`${id}|retrieval|passage|single`).values) })),
  ].sort((a, b) => b.score - a.score);
}

async function shown(page: Page): Promise<Array<{ name: string; score: number }>> {
  return cards(page).evaluateAll((elements) => elements.filter((element) => element.hasAttribute('data-rank')).map((element) => ({
    name: element.getAttribute('data-kind') === 'picture' ? element.querySelector('.name')!.textContent! : element.querySelector('blockquote')!.textContent!,
    score: Number(element.querySelector('.score')!.textContent),
  })));
}

test('pictures and passages are indexed, and a query ranks them in the order of the reference vectors', async ({ page, site }) => {
  const complaints = await open(page, site);
  await ready(page);
  await expect(page.locator('#device-pill')).toContainText('WebGPU');
  await expect(page.locator('#random-notice')).toContainText('no meaning');
  await empty(page);
  await byMeaning(page);
  await page.locator('#files').setInputFiles(PICTURES.map((file) => join(GOLDEN, 'images', file)));
  await page.locator('#passages').fill(PASSAGES.map((id) => TEXTS[id]!).join('\n\n'));
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(page.locator('#status')).toContainText(`${PICTURES.length + PASSAGES.length} items indexed`);

  for (const id of ['question', 'numbers', 'short']) {
    await page.locator('#query').fill(TEXTS[id]!);
    const golden = goldenOrder(id);
    await expect.poll(async () => (await shown(page)).map(({ name }) => name)).toEqual(golden.map(({ name }) => name));
    // Four digits are shown.
    (await shown(page)).forEach(({ score }, i) => expect(Math.abs(score - golden[i]!.score)).toBeLessThan(1.5e-4));
  }

  await page.locator('#query').fill(TEXTS['question']!);
  await page.locator('.filter').getByText('Pictures').click();
  const pictures = new Set(PICTURES);
  const expected = goldenOrder('question').map(({ name }) => name);
  await expect.poll(async () => (await shown(page)).map(({ name }) => name)).toEqual(expected.filter((name) => pictures.has(name)));
  await page.locator('.filter').getByText('Passages').click();
  await expect.poll(async () => (await shown(page)).map(({ name }) => name)).toEqual(expected.filter((name) => !pictures.has(name)));

  await expect(page.locator('#facts')).toContainText('GPU memory');
  await expect(page.locator('#facts')).toContainText('Loaded in');
  expect(complaints).toEqual([]);
});

test('the samples are laid out and searchable without any further step', async ({ page, site }) => {
  const complaints = await open(page, site);
  await ready(page);
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
  await byMeaning(page);
  await page.keyboard.press('/');
  await page.keyboard.type('a cup of coffee');
  await expect(cards(page).first()).toHaveAttribute('data-rank', '1');
  await expect(cards(page).nth(N_SAMPLES - 1)).toHaveAttribute('data-rank', String(N_SAMPLES));
  await page.keyboard.press('Escape');
  await expect(page.locator('.card[data-rank]')).toHaveCount(0);
  expect(complaints).toEqual([]);
});

test('of queries typed one after the other the last one wins', async ({ page, site }) => {
  await open(page, site);
  await ready(page);
  await empty(page);
  await byMeaning(page);
  await page.locator('#passages').fill(PASSAGES.map((id) => TEXTS[id]!).join('\n\n'));
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(page.locator('#status')).toContainText(`${PASSAGES.length} items indexed`);
  for (const id of ['short', 'numbers', 'nfc']) {
    await page.locator('#query').fill(TEXTS[id]!);
    await page.waitForTimeout(200); // longer than the pause before a call, so that calls are under way and aborted
  }
  await page.locator('#query').fill(TEXTS['question']!);
  const passages = new Set(PASSAGES.map((id) => TEXTS[id]!));
  const expected = goldenOrder('question').filter(({ name }) => passages.has(name)).map(({ name }) => name);
  await expect(page.locator('#status')).toContainText('Ranked in');
  await expect.poll(async () => (await shown(page)).map(({ name }) => name)).toEqual(expected);
});

test('indexing stops at the button, keeps what is done, and continues', async ({ page, site }) => {
  await open(page, site);
  await ready(page);
  await page.getByRole('button', { name: 'Stop indexing' }).click();
  await expect(page.locator('#status')).toContainText('Stopped');
  await expect(page.locator('.card[data-state="embedding"]')).toHaveCount(0);
  const n_done = await page.locator('.card[data-state="ready"]').count();
  expect(n_done).toBeLessThan(N_SAMPLES);
  await page.waitForTimeout(1000);
  expect(await page.locator('.card[data-state="ready"]').count()).toBe(n_done);
  await page.getByRole('button', { name: 'Continue indexing' }).click();
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
});

test('a broken picture says so on its card, and the others stay', async ({ page, site }) => {
  await open(page, site);
  await ready(page);
  await empty(page);
  await page.locator('#files').setInputFiles([
    { name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('this is a text file') },
    { name: 'cat.png', mimeType: 'image/png', buffer: readFileSync(join(GOLDEN, 'images/cat_crop_168x140.png')) },
  ]);
  const broken = cards(page).filter({ hasText: 'notes.png' });
  await expect(broken).toHaveAttribute('data-state', 'failed');
  await expect(broken).toContainText('INPUT_INVALID');
  await expect(cards(page).filter({ hasText: 'cat.png' })).toHaveAttribute('data-state', 'ready');
  await page.locator('#query').fill('cat');
  await expect(cards(page).filter({ hasText: 'cat.png' })).toHaveAttribute('data-rank', '1');
  await broken.getByRole('button', { name: 'Remove notes.png' }).click();
  await expect(cards(page)).toHaveCount(1);
});

test('a model that is not there says so in plain words, and can be tried again', async ({ page, site }) => {
  let there = false;
  await page.route('**/models/late/**', async (route) => {
    if (!there) return route.fulfill({ status: 404 });
    return route.fulfill({ response: await route.fetch({ url: route.request().url().replace('/models/late/', '/models/tiny/') }) });
  });
  await page.goto(`${site}?model=/models/late`);
  await expect(page.locator('#load-title')).toHaveText('The model could not be downloaded.');
  await expect(page.locator('#load-code')).toContainText('DOWNLOAD_FAILED');
  await expect(page.locator('#load-detail')).toContainText('404');
  there = true;
  await page.getByRole('button', { name: 'Try again' }).click();
  await ready(page);
});

test('a download can be cancelled, and started again', async ({ page, site }) => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => { release = resolve; });
  await page.route('**/models/tiny/*.gguf', async (route) => {
    await held;
    await route.continue().catch(() => undefined); // the request of a cancelled download is gone
  });
  await page.goto(site);
  await expect(page.locator('#load-title')).toContainText('Loading');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.locator('#load-title')).toHaveText('Loading was cancelled');
  release();
  await page.getByRole('button', { name: 'Load the model' }).click();
  await ready(page);
});

test('while a model loads the page tells the stage and the bytes, and the figure never falls', async ({ page, site }) => {
  await page.addInitScript(() => {
    const seen: number[] = (globalThis as { seen?: number[] }).seen = [];
    new MutationObserver(() => {
      const value = document.getElementById('load-bar')?.getAttribute('aria-valuenow');
      if (value !== null && value !== undefined) seen.push(Number(value));
    }).observe(document, { subtree: true, attributes: true, attributeFilter: ['aria-valuenow'] });
  });
  await open(page, site);
  await ready(page);
  const seen = await page.evaluate(() => (globalThis as { seen?: number[] }).seen ?? []);
  expect(seen.at(-1)).toBe(100);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
});

test('a heavy model is not downloaded before the visitor says so', async ({ page, site }) => {
  const asked: string[] = [];
  page.on('request', (request) => { if (request.url().endsWith('.gguf')) asked.push(request.url()); });
  await page.route('**/models/tiny/model.json', async (route) => {
    const response = await route.fetch();
    const card = await response.json() as { files: Array<{ n_bytes: number; pieces?: unknown }> };
    for (const file of card.files) {
      file.n_bytes += 1e9;
      delete file.pieces;
    }
    await route.fulfill({ response, json: card });
  });
  await page.goto(site);
  await expect(page.locator('#load-title')).toContainText('to download');
  await expect(page.locator('#load-detail')).toContainText(/licence/i);
  expect(asked).toEqual([]);
});

test('another device can be chosen, and the vectors on the table are still good', async ({ page, site }) => {
  await open(page, site, '?device=wasm');
  await ready(page);
  await expect(page.locator('#device-pill')).toContainText('CPU');
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
  await page.locator('#device').selectOption('webgpu');
  await expect(page.locator('#device-pill')).toContainText('WebGPU');
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
  await page.locator('#query').fill('a horse');
  await expect(cards(page).first()).toHaveAttribute('data-rank', '1');
});
