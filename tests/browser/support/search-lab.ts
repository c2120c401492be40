// A page that runs nothing but the search, under a content security policy as strict as one can be with
// WebAssembly, and the functions that tests run in it.
import type { Page } from '@playwright/test';

const PATH = 'search-lab/';
const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'">
<title>Search</title>
<script type="module" src="setup.js"></script>`;

/** Runs in the page. Documents carry their vectors, so that no model is needed. */
const SETUP = `
import { createIndex } from '/jina-embeddings-web/search.js';
const space = 'lab/mean', multivectorSpace = 'lab/tokens';
// mulberry32: the same numbers here and in the test.
const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const vectorOf = (seed, dimensions) => { const next = random(seed); return Float32Array.from({ length: dimensions }, () => next() * 2 - 1); };
const documentOf = (i, dimensions, more = {}) => ({ id: 'd' + i, title: 'Document ' + i, space, fields: { n: i, even: i % 2 === 0 }, passages: [{ text: 'number ' + i, vector: vectorOf(i, dimensions) }], ...more });
const failure = async (run) => { try { return { value: await run() }; } catch (error) { return { code: error.code, name: error.name, message: error.message }; } };
const folderOf = async (name) => (await (await navigator.storage.getDirectory()).getDirectoryHandle('jina-embeddings-web')).getDirectoryHandle(name);
Object.assign(globalThis, { search: { createIndex, space, multivectorSpace, vectorOf, documentOf, failure, folderOf } });
`;

export async function openSearchLab(page: Page, site: string): Promise<string[]> {
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  await page.route(`${site}${PATH}`, (route) => route.fulfill({ contentType: 'text/html', body: HTML }));
  await page.route(`${site}${PATH}setup.js`, (route) => route.fulfill({ contentType: 'text/javascript', body: SETUP }));
  await page.goto(`${site}${PATH}`);
  await page.waitForFunction(() => 'search' in globalThis);
  return complaints;
}

/** What {@link SETUP} puts into the page, as the tests' functions see it. */
export interface SearchLab {
  createIndex: typeof import('../../../pkg-config/dist/search/index').createIndex;
  space: string;
  multivectorSpace: string;
  vectorOf(seed: number, dimensions: number): Float32Array;
  documentOf(i: number, dimensions: number, more?: object): import('../../../pkg-config/dist/search/index').EmbeddedDocument;
  failure<T>(run: () => Promise<T>): Promise<{ value?: T; code?: string; name?: string; message?: string }>;
  folderOf(name: string): Promise<FileSystemDirectoryHandle>;
}
