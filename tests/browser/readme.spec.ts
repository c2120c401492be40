// The TypeScript of the README, as it stands: its types are checked, and it runs in a page against the built package.
// What the first one logs is compared with what the package says when the lab asks.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { Lab } from './support/lab';
import { REPOSITORY } from './support/paths';
import { expect, test } from './support/test';

const PACKAGE = join(REPOSITORY, 'pkg-config');
/** Served by no folder: the test answers for it. */
const PAGE = 'readme/';
/** The same numbers on the same device; only the sums of the products may be rounded differently. */
const MAX_ABS = 1e-6;

/** A page that finds the package by its name, and says when the snippet has ended. */
const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>README</title>
<link rel="icon" href="data:,">
<script type="importmap">{ "imports": { "jina-embeddings-web": "/jina-embeddings-web/index.js", "jina-embeddings-web/search": "/jina-embeddings-web/search.js" } }</script>
<script type="module">
  globalThis.ended = await import('./snippet.js').then(() => 'well', (error) => \`\${error.name}: \${error.message}\`);
</script>`;

interface Compiler { transformSync(code: string, options: { loader: 'ts'; target: string }): { code: string } }

/** The blocks of TypeScript, in their order: embedding, search, weights. */
function snippet(i: number): string {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
  const found = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)][i];
  if (!found) throw new Error(`README.md has no \`\`\`ts block ${i}`);
  return found[1]!;
}

function compiled(i: number): string {
  const { transformSync } = createRequire(join(PACKAGE, 'package.json'))('esbuild') as Compiler;
  return transformSync(snippet(i), { loader: 'ts', target: 'es2022' }).code;
}

/** Runs a snippet in a page of its own, to its end. Returns the arguments of each `console.log`. */
async function run(page: Page, site: string, i: number): Promise<unknown[][]> {
  await page.route(`${site}${PAGE}`, (route) => route.fulfill({ contentType: 'text/html', body: HTML }));
  await page.route(`${site}${PAGE}snippet.js`, (route) => route.fulfill({ contentType: 'text/javascript', body: compiled(i) }));
  const logged: Array<Promise<unknown[]>> = [], uncaught: string[] = [];
  page.on('pageerror', (error) => uncaught.push(error.message));
  page.on('console', (message) => { if (message.type() === 'log') logged.push(Promise.all(message.args().map((argument) => argument.jsonValue()))); });
  await page.goto(`${site}${PAGE}`);
  const ended = await page.waitForFunction(() => (globalThis as { ended?: string }).ended, undefined, { timeout: 240_000 });
  expect(await ended.jsonValue()).toBe('well');
  expect(uncaught).toEqual([]);
  return Promise.all(logged);
}

test('the types of the snippets hold in the strictest reading', () => {
  const directory = join(REPOSITORY, 'target/browser-readme');
  mkdirSync(directory, { recursive: true });
  for (const i of [0, 1, 2]) writeFileSync(join(directory, `snippet${i}.ts`), `${snippet(i)}\nexport {};\n`);
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, noEmit: true,
      target: 'es2022', module: 'esnext', moduleResolution: 'bundler', lib: ['es2023', 'dom'], types: [],
      paths: { 'jina-embeddings-web': [join(PACKAGE, 'dist/index.d.ts')], 'jina-embeddings-web/search': [join(PACKAGE, 'dist/search/index.d.ts')] },
    },
    files: ['snippet0.ts', 'snippet1.ts', 'snippet2.ts'],
  }));
  const compiler = join(PACKAGE, 'node_modules/typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [compiler, '--project', directory], { encoding: 'utf8' });
  } catch (error) {
    throw new Error(`the README does not compile:\n${(error as { stdout: string }).stdout}`);
  }
});

test('the first snippet runs in a page and logs the scores that the package gives', async ({ page, site }) => {
  const logged = await run(page, site, 0);
  expect(logged.length, 'logs').toBe(1);
  const scores = logged[0]![0] as number[];

  const lab = await Lab.open(page, site);
  await lab.load('tiny', { model: '/models/tiny', device: 'auto' });
  const [query] = await lab.vectors('tiny', ['a sleeping cat'], { task: 'retrieval.query' });
  const found = await lab.vectors('tiny', [{ image: '/samples/cat.jpg' }, 'Bread rises.'], { task: 'retrieval.passage' });
  await lab.dispose('tiny');
  const expected = found.map(({ values }) => values.reduce((sum, value, i) => sum + value * query!.values[i]!, 0));

  console.log(`logged ${scores.join(', ')}; the lab gives ${expected.join(', ')}`);
  expect(scores.length, 'scores').toBe(2);
  scores.forEach((score, i) => {
    expect(Number.isFinite(score) && Math.abs(score) <= 1, `score ${score}`).toBe(true);
    expect(Math.abs(score - expected[i]!), `score ${i}`).toBeLessThanOrEqual(MAX_ABS);
  });
});

test('the search snippet runs in a page and finds what its words say', async ({ page, site }) => {
  const logged = await run(page, site, 1);
  const hits = logged.slice(0, -1);
  expect(hits.map(([id]) => id).sort()).toEqual(['bread', 'brot', 'cat']);
  expect(hits[0]![0]).toBe('cat');
  expect(hits[0]![2]).toBe('Chelsea, a sleeping cat');
  expect(logged.at(-1)).toEqual([1]);
});

test('the snippet about weights runs in a page: what was to be fetched is kept, and then deleted', async ({ page, site }) => {
  const [before, kept, deleted] = await run(page, site, 2);
  expect(before).toEqual([expect.any(Number), 'bytes to fetch', 0, 'are here']);
  expect(kept!.slice(1, 4)).toEqual(['files', before![0], 'bytes']);
  expect(deleted).toEqual([before![0], 'bytes deleted']);
});
