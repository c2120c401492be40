// What the page promises as an application: it stays, it works offline, it finds words at once, it says why, and
// everybody can use it. On the CPU, which is the faster one where a GPU is played by software.
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, SITE } from './support/paths';
import { expect, test } from './support/test';

const N_SAMPLES = 42;

async function indexed(page: Page, site: string): Promise<void> {
  await page.goto(`${site}?device=wasm`);
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
  await expect(page.locator('#load')).toBeHidden();
}

const best = (page: Page): ReturnType<Page['locator']> => page.locator('.card[data-rank="1"]');

test('a query finds words as they are typed, in every language offered, and marks them', async ({ page, site }) => {
  await indexed(page, site);
  await page.locator('#query').pressSequentially('penguins can');
  await expect(best(page)).toContainText('Penguins cannot fly');
  await expect(best(page).locator('mark').first()).toHaveText('Penguins');
  for (const [language, query, found] of [['de', 'schlafende Katze', /Katze|cat/], ['ja', 'コーヒー', /coffee/], ['zh', '企鹅', /企鹅|Penguin/], ['ar', 'حصان', /horse/], ['hi', 'साइकिल', /साइकिल|Bicycle/]] as const) {
    await page.locator('#language').selectOption(language);
    await page.getByRole('button', { name: query, exact: true }).click();
    await expect(page.locator('#query')).toHaveValue(query);
    await expect(best(page), query).toContainText(found);
    await expect(best(page).locator('.score'), query).toHaveText('words');
  }
  await page.locator('.filter').getByText('Words').click();
  await page.locator('#query').fill('nothing has this word qqqq');
  await expect(page.locator('#status')).toContainText('0 matches by words');
  await expect(page.locator('.card[data-rank]')).toHaveCount(0);
});

test('the table is there again after a reload, without embedding anything, and words are found before the model is there', async ({ page, site }) => {
  await indexed(page, site);
  await page.locator('#passages').fill('An entirely new sentence about marmalade.');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES + 1} items indexed`);
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => { release = resolve; });
  await page.context().route('**/models/tiny/**', async (route) => {
    await held;
    await route.continue().catch(() => undefined);
  });
  await page.reload();
  await page.locator('#query').fill('marmalade');
  await expect(best(page)).toContainText('marmalade');
  await expect(page.locator('#device-pill')).toBeHidden();
  release();
  await expect(page.locator('#device-pill')).toBeVisible();
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES + 1} items indexed`);
  await expect(page.locator('#facts')).toContainText('Per picture–');
});

test('after the first visit the page, its model and its search work offline, and the page can be installed', async ({ page, site, context }) => {
  await indexed(page, site);
  await page.evaluate(async () => { await navigator.serviceWorker.ready; });
  // The first visit began without the worker: one more lets it keep the model as well.
  await page.reload();
  await expect(page.locator('#device-pill')).toBeVisible();
  await context.setOffline(true);
  await page.reload();
  await expect(page.locator('#device-pill')).toBeVisible();
  await page.locator('#query').fill('coins');
  await expect(best(page)).toContainText('oins');
  await page.locator('.filter').getByText('Meaning').click();
  await expect(page.locator('#status')).toContainText('Ranked in');
  await context.setOffline(false);

  const manifest = JSON.parse(readFileSync(join(SITE, 'manifest.webmanifest'), 'utf8')) as { start_url: string; display: string; icons: Array<{ src: string; sizes: string }> };
  expect(manifest).toMatchObject({ start_url: './', display: 'standalone' });
  for (const { src, sizes } of manifest.icons.filter(({ sizes }) => sizes !== 'any')) {
    const png = readFileSync(join(SITE, src));
    expect(`${png.readUInt32BE(16)}x${png.readUInt32BE(20)}`).toBe(sizes);
  }
  const session = await context.newCDPSession(page);
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  expect(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito')).toEqual([]);
});

test('a picture can be the query, from a file and from the table', async ({ page, site }) => {
  await indexed(page, site);
  await page.locator('#query-picture').setInputFiles(join(SITE, 'samples/horse.jpg'));
  await expect(page.locator('#picture-query')).toContainText('Like horse.jpg');
  await expect(page.locator('#status')).toContainText('Ranked in');
  await page.getByRole('button', { name: 'Search by words again' }).click();
  await expect(page.locator('.card[data-rank]')).toHaveCount(0);
  const cat = page.locator('.card').filter({ hasText: 'Chelsea the cat' });
  await cat.hover();
  await cat.getByRole('button', { name: /similar/ }).click();
  await expect(page.locator('#picture-query')).toContainText('Chelsea the cat');
  await expect(page.locator('#status')).toContainText('Ranked in');
  await page.keyboard.press('Escape');
  await expect(page.locator('#query')).toBeFocused();
});

test('a found picture says why: a map of its patches for each word of the query', async ({ page, site }) => {
  await indexed(page, site);
  await page.locator('#query').fill('a sleeping cat');
  const cat = page.locator('.card[data-rank]').filter({ hasText: 'Chelsea the cat' });
  await cat.hover();
  await cat.getByRole('button', { name: /matched/ }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toBeVisible();
  await expect(dialog.locator('#why-status')).toContainText('“a” fits best at row');
  // 400 x 267 pixels: as many patches of 28 as smart resize leaves.
  const size = await dialog.locator('canvas').evaluate((canvas: HTMLCanvasElement) => [canvas.width, canvas.height]);
  expect(size).toEqual([14, 10]);
  for (const word of ['sleeping', 'cat', 'a']) {
    await dialog.getByRole('button', { name: word, exact: true }).click();
    await expect(dialog.locator('#why-status')).toContainText(`“${word}” fits best at row`);
    await expect(dialog.locator('#why-status')).not.toContainText('0.000');
  }
  await expect(dialog).toContainText('random weights');
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
});

test('a whole folder goes onto the table while it is being cleared: pictures, text, Markdown and HTML, a long one by its best passage', async ({ page, site }) => {
  // A slow disk would delete the files again after they were put down.
  await page.addInitScript(() => {
    const { delete: quick } = CacheStorage.prototype;
    CacheStorage.prototype.delete = async function (name) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return quick.call(this, name);
    };
  });
  const folder = join(REPOSITORY, 'target/browser-folder');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'inner'), { recursive: true });
  writeFileSync(join(folder, 'long.txt'), `${'Nothing happens in this sentence of the text. '.repeat(60)}Then a walrus appears. ${'And again nothing happens for a while. '.repeat(60)}`);
  writeFileSync(join(folder, 'inner/notes.md'), '# Notes\n\nThe **ocelot** is a cat.');
  writeFileSync(join(folder, 'inner/page.html'), '<title>Tapirs</title><style>p{}</style><p>Tapirs swim well.</p>');
  writeFileSync(join(folder, 'inner/data.bin'), 'x');
  writeFileSync(join(folder, 'horse.jpg'), readFileSync(join(SITE, 'samples/horse.jpg')));
  await indexed(page, site);
  await page.getByRole('button', { name: 'Clear the table' }).click();
  await page.locator('#folder').setInputFiles(folder);
  await expect(page.locator('#told')).toContainText('data.bin');
  await expect(page.locator('#status')).toContainText('4 items indexed');
  await page.locator('#query').fill('walrus');
  await expect(best(page).locator('mark')).toHaveText('walrus');
  await expect(best(page).locator('.name')).toHaveText('long.txt');
  await page.locator('#query').fill('ocelot');
  await expect(best(page).locator('blockquote')).toContainText('The ocelot is a cat.');
  await page.locator('#query').fill('tapirs');
  await expect(best(page).locator('blockquote')).toContainText('Tapirs swim well.');
  await page.reload();
  await expect(page.locator('#status')).toContainText('4 items indexed');
});

test('the index leaves as a file, as NumPy arrays and as Qdrant points, and everything can be forgotten', async ({ page, site }) => {
  await indexed(page, site);
  await expect(page.locator('#storage')).toContainText(`${N_SAMPLES} documents`);
  for (const [button, file, starts] of [['Index file', 'light-table.index', ''], ['NumPy', 'vectors.npy', '\x93NUMPY'], ['Qdrant', 'qdrant.jsonl', '{"collection"']] as const) {
    const [download] = await Promise.all([page.waitForEvent('download', (each) => each.suggestedFilename() === file), page.getByRole('button', { name: button }).click()]);
    const bytes = readFileSync(await download.path());
    expect(bytes.length, file).toBeGreaterThan(1000);
    expect(bytes.toString('latin1').startsWith(starts), file).toBe(true);
  }
  await page.locator('#passages').fill('A sentence to be forgotten.');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES + 1} items indexed`);
  await page.getByRole('button', { name: 'Forget everything here' }).click();
  await expect(page.locator('#status')).toContainText(`${N_SAMPLES} items indexed`);
});

test('no accessibility violation is found: light, dark, narrow, with results, and by keyboard alone', async ({ page, site }) => {
  await indexed(page, site);
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 740 }]) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize(viewport);
      for (const query of ['', 'coffee']) {
        await page.locator('#query').fill(query);
        if (query) await expect(page.locator('#status')).toContainText('Ranked in');
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`), `${colorScheme}, ${viewport.width} px, “${query}”`).toEqual([]);
      }
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(overflow, `${viewport.width} px`).toBeLessThanOrEqual(0);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.keyboard.press('Escape');
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  await page.keyboard.press('/');
  await expect(page.locator('#query')).toBeFocused();
  await page.keyboard.type('coins');
  await expect(best(page)).toContainText('oins');
  await page.keyboard.press('Tab');
  await expect(page.locator('#search-by-picture')).toBeFocused();
});
