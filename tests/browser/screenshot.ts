import { join } from 'node:path';
import { REPOSITORY } from './support/paths';
import { expect, test } from './support/test';

const QUERY = 'a happy face';

test.use({ contextOptions: { reducedMotion: 'reduce' } });

test('the page with a ranked query', async ({ page, site }) => {
  await page.goto(`${site}?model=/trained/tiny`);
  await expect(page.locator('#status')).toContainText('42 items indexed');
  // Samples in many scripts would show which fonts this machine lacks.
  await page.locator('.filter').getByText('Pictures').click();
  await page.locator('#query').fill(QUERY);
  await expect(page.locator('#status')).toContainText('Ranked in');
  await page.screenshot({ path: join(REPOSITORY, 'docs/screenshot.png') });
});
