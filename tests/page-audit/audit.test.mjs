// The built page, audited by Lighthouse in Chromium, without a network: what it finds under accessibility, best
// practices and search engines must be nothing, on a phone and on a desk, in light and in dark. Speed is told, not
// tested: it depends on the machine and on what else runs. On the CPU, which is the faster one where a GPU is played by software.
// Needs www/demo/dist, jina-embed and `scripts/setup.sh audit`.
//
//   node --test tests/page-audit/          the reports lie in target/page-audit/*.html afterwards

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { jinaEmbed, ROOT, serve, transpile } from '../consumers/support.mjs';

const AUDIT = join(process.env['JINA_CACHE'] ?? join(homedir(), '.cache/jina-embeddings-web'), 'audit');
const SITE = join(ROOT, 'www/demo/dist');
const OUT = join(ROOT, 'target/page-audit');

/** Everything in them must pass. */
const CATEGORIES = ['accessibility', 'best-practices', 'seo'];
/**
 * Of the category performance those that read the page's files and not a clock. Not `duplicated-javascript`: each entry of
 * the package is a file that stands alone, so errors and checks of some lines lie in several of them, 15 KB in all.
 */
const TIMELESS = [
  'efficient-animated-content', 'font-display', 'legacy-javascript', 'no-document-write', 'redirects',
  'unminified-css', 'unminified-javascript', 'unsized-images', 'uses-passive-event-listeners', 'viewport',
];
/** They apply to this page in any state. Without them a report says nothing. */
const EXPECTED = ['color-contrast', 'target-size', 'label', 'button-name', 'image-alt', 'heading-order', 'document-title'];

const WAIT_MS = 60_000;
const SETTINGS = {
  output: 'html', logLevel: 'error', throttlingMode: 'provided', disableFullPageScreenshot: true,
  // They decode every frame and every picture, and open the page once more, for seconds.
  skipAudits: ['speed-index', 'screenshot-thumbnails', 'final-screenshot', 'uses-optimized-images', 'modern-image-formats', 'bf-cache'],
};

let lighthouse, configs, launch, server, page;

before(async () => {
  for (const [path, how] of [[join(AUDIT, 'node_modules'), 'scripts/setup.sh audit'], [join(SITE, 'index.html'), 'scripts/test.sh package']]) {
    if (!existsSync(path)) throw new Error(`${path} is missing: ${how}`);
  }
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  const models = join(OUT, 'models');
  // Of the name by which the page knows a model of random weights, as in `make demo`.
  execFileSync(jinaEmbed(), ['convert', '--from', join(ROOT, 'tests/fixtures/tiny'), '--to', join(models, 'tiny'), '--name', 'tiny-random-jina-v4-a', '--dtype', 'q8_0'], { stdio: ['ignore', 'ignore', 'inherit'] });
  server = await serve([{ path: '/', dir: SITE }, { path: '/models', dir: models }]);

  const installed = createRequire(join(AUDIT, 'package.json'));
  const load = (name) => import(pathToFileURL(installed.resolve(name)).href);
  lighthouse = await load('lighthouse');
  configs = { phone: undefined, desk: lighthouse.desktopConfig };
  const { chromiumPath, QUIET_FLAGS, WEBGPU_FLAGS } = await browserOfTheTests();
  const puppeteer = (await load('puppeteer-core')).default;
  launch = () => puppeteer.launch({
    executablePath: chromiumPath(),
    // No address but the server's: the audits must do without.
    args: [...QUIET_FLAGS, ...WEBGPU_FLAGS, '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
  });
});

after(async () => {
  await page?.browser().close();
  await server?.close();
  rmSync(join(OUT, 'models'), { recursive: true, force: true });
});

for (const [form, theme, other] of [['phone', 'light', 'dark'], ['desk', 'dark', 'light']]) {
  test(`on a ${form}, first in ${theme}, the first visit, a ranked query and its explanation pass every audit that reads no clock`, async (t) => {
    await open(theme);
    const visit = await lighthouse.default(`${server.url}?device=wasm`, { ...SETTINGS, onlyCategories: ['performance', ...CATEGORIES] }, configs[form], page);
    await passes(visit, { form, theme, state: 'visit', expected: [...EXPECTED, 'errors-in-console', 'meta-description', 'is-crawlable'] });
    const { audits, categories, lighthouseVersion, environment } = visit.lhr;
    assert.deepEqual(failures(TIMELESS.map((id) => audits[id])), []);
    const metrics = ['first-contentful-paint', 'largest-contentful-paint', 'total-blocking-time', 'cumulative-layout-shift'];
    t.diagnostic(`performance ${categories.performance.score}, ${metrics.map((id) => `${id} ${audits[id].displayValue}`).join(', ')}`);
    t.diagnostic(`Lighthouse ${lighthouseVersion}, ${environment.hostUserAgent.match(/Chrome\/[\d.]+/)?.[0]}, unthrottled`);

    const snapshot = async (state, worn, expected) => {
      await wear(worn);
      const result = await lighthouse.snapshot(page, { flags: { ...SETTINGS, onlyCategories: CATEGORIES }, config: configs[form] });
      await passes(result, { form, theme: worn, state, expected });
    };
    await status(/^\d+ items indexed/);
    await page.locator('#queries button').click();
    await status(/Ranked in/);
    await snapshot('ranked', theme, EXPECTED);
    await snapshot('ranked', other, EXPECTED);
    await page.locator('.card[data-rank] [aria-label^="Why?"]:not([hidden])').click();
    await page.waitForSelector('#why-words button', { timeout: WAIT_MS });
    await snapshot('why', other, ['color-contrast', 'button-name']);
  });
}

/** In a browser of its own, so that no test sees what another one left there. */
async function open(theme) {
  await page?.browser().close();
  [page] = await (await launch()).pages();
  await wear(theme);
}

/** Without motion: a card that fades in has no colour to measure. */
async function wear(theme) {
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
}

async function status(expected) {
  await page.waitForFunction((source) => new RegExp(source).test(document.getElementById('status').textContent), { timeout: WAIT_MS }, expected.source);
}

/** Writes the report, then reads it. `expected` names audits that must have found something to look at. */
async function passes({ lhr, report }, { form, theme, state, expected }) {
  writeFileSync(join(OUT, `${form}-${theme}-${state}.html`), report);
  assert.equal(lhr.runtimeError, undefined);
  assert.deepEqual(lhr.runWarnings, []);
  assert.ok(await page.evaluate((name) => matchMedia(`(prefers-color-scheme: ${name})`).matches, theme), `the page was not ${theme}`);
  const ids = new Set(CATEGORIES.flatMap((category) => lhr.categories[category].auditRefs.map(({ id }) => id)));
  assert.deepEqual(failures([...ids].map((id) => lhr.audits[id])), []);
  assert.equal(lhr.categories.accessibility.score, 1);
  assert.deepEqual(expected.filter((id) => lhr.audits[id]?.score !== 1), [], 'these found nothing to look at');
}

/** A sentence for each audit that applies and does not pass. What is manual is no audit, what is informative has no right answer. */
function failures(audits) {
  return audits.filter(({ scoreDisplayMode, score }) => !['manual', 'notApplicable', 'informative'].includes(scoreDisplayMode) && score !== 1)
    .map(({ id, title, errorMessage, details }) => {
      const found = (details?.items ?? []).map(({ node, description, url, source }) => [node?.snippet, node?.explanation, description, url, source].filter(Boolean).join(' '));
      return [`${id}: ${errorMessage ?? title}`, ...found].join('\n');
    });
}

/** The flags of the browser tests, which are TypeScript. */
async function browserOfTheTests() {
  const code = transpile(readFileSync(join(ROOT, 'tests/browser/support/chromium.ts'), 'utf8'));
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}
