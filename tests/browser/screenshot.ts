import { join } from 'node:path';
import { REPOSITORY } from './support/paths';
import { expect, test } from './support/test';

const QUERY = 'coffee';

test.use({ contextOptions: { reducedMotion: 'reduce' } });

test('the page with a ranked query', async ({ page, site }) => {
  await page.goto(site);
  await expect(page.locator('#status')).toContainText('42 items indexed');
  await page.locator('#query').fill(QUERY);
  await expect(page.locator('#status')).toContainText('Ranked in');
  await page.screenshot({ path: join(REPOSITORY, 'docs/screenshot.png') });
});
