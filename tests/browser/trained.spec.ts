// The page with the small trained model of models/tiny, as `make demo` opens it: what a person expects is found by
// meaning alone, whatever the language.
import type { Page } from '@playwright/test';
import { expect, test } from './support/test';

test.use({ serviceWorkers: 'block' });

/** The name of the first picture by its vector alone; the one before it stays until the new ranking is there. */
async function expectFirst(page: Page, query: string, names: string[]): Promise<void> {
  await page.locator('#query').fill(query);
  const first = page.locator('#results .card[data-kind="picture"] .name').first();
  await expect.poll(async () => names.includes(await first.textContent() ?? ''), `${query}: ${names.join(' or ')}`).toBe(true);
}

test('a happy face, Hund, 機械 and others find what a person expects, by meaning alone, in seven languages', async ({ page, site }) => {
  await page.goto(`${site}?model=/trained/tiny`);
  await expect(page.locator('#status')).toContainText('42 items indexed');
  await expect(page.locator('#random-notice')).toBeHidden();
  await page.locator('.filter').getByText('Meaning').click();
  await page.locator('.filter').getByText('Pictures').click();
  // No two neighbours have the same answer, so none is taken for the other's.
  await expectFirst(page, 'a happy face', ['A happy face']);
  await expectFirst(page, 'Hund', ['Dog']);
  await expectFirst(page, '機械', ['Robot', 'Gear', 'Factory']);
  await expectFirst(page, '犬', ['Dog']);
  await expectFirst(page, 'machine', ['Robot', 'Gear', 'Factory']);
  await expectFirst(page, '火山', ['Volcano']);
  await expectFirst(page, 'casa', ['House']);
  await expectFirst(page, 'volcan', ['Volcano']);
  await expectFirst(page, 'Gitarre', ['Guitar']);
  await expectFirst(page, 'собака', ['Dog']);
  await expectFirst(page, 'papillon', ['Butterfly']);
  await expectFirst(page, '吉他', ['Guitar']);
  await expectFirst(page, 'Fahrrad', ['Bicycle']);
  await expectFirst(page, 'fraise', ['Strawberry']);
  await expectFirst(page, 'bicicleta', ['Bicycle']);
  await expectFirst(page, '企鹅', ['Penguin']);
  await expectFirst(page, 'parapluie', ['Umbrella in the rain']);
  await expectFirst(page, 'Segelboot', ['Sailing boat']);
});
