import { expect, test } from './support/test';
import { openSearchLab, type SearchLab } from './support/search-lab';
declare const search: SearchLab;
test('quota', async ({ page, site }) => {
  await openSearchLab(page, site);
  const session = await page.context().newCDPSession(page);
  const origin = new URL(site).origin;
  const est = () => page.evaluate(async () => JSON.stringify(await navigator.storage.estimate()));
  console.log(origin, await est());
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 4_000_000 });
  console.log(await est());
  console.log(await page.evaluate(async () => {
    const index = await search.createIndex({ name: 'full', storage: 'opfs' });
      for (let batch = 0; batch < 40; batch++) {
        const outcome = await search.failure(() => index.add(Array.from({ length: 100 }, (_, i) => search.documentOf(batch * 100 + i, 1024))));
        if (outcome.code) return outcome.code + outcome.message; }
      return 'none'+ JSON.stringify((await index.info()));
  }), await est());
});
