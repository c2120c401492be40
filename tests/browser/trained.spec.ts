// The page with the small trained model of models/tiny, as `make demo` opens it: what a person expects is found by
// meaning alone, whatever the language.
import type { Page } from '@playwright/test';
import { expect, test } from './support/test';

test.use({ serviceWorkers: 'block' });

/** The names of the pictures, best first, by their vectors alone. */
async function picturesFor(page: Page, query: string): Promise<string[]> {
  await page.locator('#query').fill(query);
  await expect(page.locator('#status')).toContainText('Ranked in');
  await expect(page.locator('#results .card').first()).toHaveAttribute('data-rank', '1');
  return page.locator('#results .card[data-kind="picture"] .name').allTextContents();
}

test('a happy face, a machine, a dog, a volcano and a house are found by meaning, in four languages', async ({ page, site }) => {
  await page.goto(`${site}?model=/trained/tiny`);
  await expect(page.locator('#status')).toContainText('42 items indexed');
  await expect(page.locator('#random-notice')).toBeHidden();
  await page.locator('.filter').getByText('Meaning').click();
  await page.locator('.filter').getByText('Pictures').click();
  expect((await picturesFor(page, 'a happy face'))[0]).toBe('A happy face');
  expect(['Robot', 'Gear', 'Factory']).toContain((await picturesFor(page, 'machine'))[0]);
  expect((await picturesFor(page, '犬'))[0]).toBe('Dog');
  expect((await picturesFor(page, '火山'))[0]).toBe('Volcano');
  expect((await picturesFor(page, 'volcan'))[0]).toBe('Volcano');
  expect((await picturesFor(page, 'casa'))[0]).toBe('House');
});
