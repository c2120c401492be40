// Weights that are kept on the device, by the browser's real storage: not downloaded twice, resumed after a tab that was
// closed, shared by tabs, let go when the disk is full, healed when they are damaged. The server is a real one, of
// another origin, that stalls and breaks where a test says so.
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { Agreement } from './support/agreement';
import { TEXTS, TEXT_GOLDEN } from './support/golden';
import { Lab, failed, must } from './support/lab';
import { FIXTURES, MODELS } from './support/paths';
import { expect, test } from './support/test';

const TINY = join(MODELS, 'tiny');
const FILES = (JSON.parse(readFileSync(join(TINY, 'model.json'), 'utf8')) as { files: Array<{ path: string; n_bytes: number }> }).files;
const TOTAL = FILES.reduce((sum, { n_bytes }) => sum + n_bytes, 0);
const task = 'retrieval.passage';

interface Host {
  readonly url: string;
  /** Names of the weight files whose beginning was asked for by GET, in order. */
  readonly asked: string[];
  /** Called with the number of weight bytes sent so far before each chunk; what it returns is waited for, `'break'` cuts the connection. */
  onBytes: (sent: number) => Promise<unknown> | 'break' | undefined;
  close(): Promise<void>;
}

const hosts: Host[] = [];
test.afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});

async function serveWeights(folder: string): Promise<Host> {
  let sent = 0;
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(request.url!.slice(1)), path = join(folder, name);
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', 'Content-Range, ETag');
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return void response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const [start, end] = first === undefined ? [0, size] : [Number(first), Math.min(Number(last) + 1, size)];
    response.writeHead(first === undefined ? 200 : 206, { 'Content-Length': end - start, ETag: `"${size}"`, ...(first !== undefined && { 'Content-Range': `bytes ${start}-${end - 1}/${size}` }) });
    if (request.method === 'HEAD') return void response.end();
    if (name.endsWith('.gguf') && start === 0) host.asked.push(name);
    const body = readFileSync(path).subarray(start, end), chunk_bytes = 64 * 1024;
    for (let at = 0; at < body.length && !response.destroyed; at += chunk_bytes) {
      const outcome = name.endsWith('.gguf') ? host.onBytes(sent) : undefined;
      if (outcome === 'break') return void response.destroy();
      await outcome;
      const chunk = body.subarray(at, at + chunk_bytes);
      if (name.endsWith('.gguf')) sent += chunk.length;
      await new Promise((flushed) => response.write(chunk, flushed)); // what breaks afterwards has got so far
    }
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const host: Host = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: [],
    onBytes: () => undefined,
    close: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
  hosts.push(host);
  return host;
}

type Events = Array<Record<string, unknown>>;

/** Loads the model, checks its numbers, and lets it go. */
async function works(lab: Lab, model: unknown, options: object = {}): Promise<Events> {
  const { events } = must(await lab.tryLoad('tiny', { model, device: 'wasm', progress: true, ...options }));
  const [vector] = await lab.vectors('tiny', [TEXTS['short']!], { task });
  const agreement = new Agreement('with weights that were kept or fetched');
  agreement.compare('short', vector!, TEXT_GOLDEN.f32('short|retrieval|passage|single'));
  agreement.settle(1);
  must(await lab.dispose('tiny'));
  return events;
}

async function isWhole(lab: Lab, options: object = {}): Promise<void> {
  const { files, nBytes } = must(await lab.cached(options));
  expect(files.map(({ name, complete }) => [name, complete]).sort()).toEqual(FILES.map(({ path }) => [path, true]).sort());
  expect(nBytes).toBe(TOTAL);
}

const warnings = (events: Events): unknown[] => events.flatMap(({ status, code }) => (status === 'uncached' ? [code] : []));

async function limitStorage(page: Page, site: string, quota_bytes: number | undefined): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(site).origin, ...(quota_bytes !== undefined && { quotaSize: quota_bytes }) });
}

for (const [where, options] of [
  ['the origin private file system', { cache: 'opfs' }],
  ['Cache Storage', { cache: 'cache-api' }],
  ['the origin private file system, from the page’s own thread', { cache: 'opfs', worker: false }],
  ['a store of the page’s own', { cache: 'own' }],
] as const) {
  test(`kept in ${where}, weights are downloaded once, told with their sizes, and deleted`, async ({ page, site }) => {
    const host = await serveWeights(TINY);
    const lab = await Lab.open(page, site);
    const first = await works(lab, host.url, options);
    expect(warnings(first)).toEqual([]);
    expect(host.asked.sort()).toEqual(FILES.map(({ path }) => path).sort());
    // A module that ran in the page's thread serves again, and the page's own store lives as long as the page.
    if (options.cache !== 'own') await page.reload();
    if (options.cache !== 'own') await page.waitForFunction(() => 'lab' in globalThis);
    const second = await works(lab, host.url, options);
    expect(host.asked).toHaveLength(FILES.length);
    expect(second.filter(({ status }) => status === 'download').reduce((sum, { cached }) => sum + Number(cached), 0)).toBe(TOTAL);
    if (options.cache === 'own') return expect(await lab.ownKept()).toBeGreaterThan(TOTAL);
    await isWhole(lab, { cache: options.cache });
    expect(must(await lab.clear({ cache: options.cache }))).toBe(TOTAL);
    expect(must(await lab.cached({ cache: options.cache }))).toEqual({ files: [], nBytes: 0 });
    await works(lab, host.url, { ...options, worker: undefined });
    expect(host.asked).toHaveLength(2 * FILES.length);
  });
}

/** What the lab's worker tells of the thread that keeps pieces. */
const ofStoreThread = (page: Page, message: string): Promise<unknown> =>
  page.evaluate((given) => new Promise((resolve, reject) => {
    const worker = new Worker('store-thread.js', { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(given);
  }), message);

test('a thread of its own writes and reads segments, gives their buffers back, and is not missed when it ends', async ({ page, site }) => {
  await Lab.open(page, site);
  expect(await ofStoreThread(page, 'go')).toEqual({
    handedOver: true, ready: true, taken: true, givenBack: true, unnamed: true, listed: 'segment-0,segment-1,segment-2,segment-3,segment-4', read: true, readTogether: true,
    end: 7, missing: true, refused: expect.stringContaining('Name is not allowed'), mended: true, mendedOnTheWay: true, others: true, cut: expect.stringContaining('it was ended'), afterwards: true, left: '',
  });
  expect(await ofStoreThread(page, 'without script')).toEqual({ ready: false, kept: true });
});

test('availability tells what is here and what is still to be fetched', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  expect(must(await lab.availability({ model: host.url }))['download']).toEqual({ nFiles: FILES.length, nBytes: TOTAL, nBytesCached: 0 });
  await works(lab, host.url);
  expect(must(await lab.availability({ model: host.url }))['download']).toEqual({ nFiles: 0, nBytes: 0, nBytesCached: TOTAL });
});

test('with `cache: false` nothing is kept', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  await works(lab, host.url, { cache: false });
  expect(must(await lab.cached()).files).toEqual([]);
});

test('a model that was loaded once loads when its server is gone', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  await works(lab, host.url);
  await host.close();
  await works(lab, host.url);
});

test('a tab closed at any moment of a download leaves what the next one goes on from', async ({ page, site, context }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  for (let round = 1; round <= 8; round++) {
    must(await lab.clear());
    const n_before = host.asked.length;
    const other = await context.newPage();
    const doomed = await Lab.open(other, site);
    // The server falls silent at a byte, another one each time; then the tab goes.
    let silent: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => { silent = resolve; });
    const limit = Math.floor((TOTAL * (round - 0.5)) / 8);
    let from: number | undefined;
    host.onBytes = (sent) => {
      from ??= sent;
      if (sent - from < limit) return undefined;
      silent();
      return new Promise(() => undefined);
    };
    void doomed.tryLoad('doomed', { model: host.url, device: 'wasm' }).catch(() => undefined);
    await reached;
    await other.close();
    host.onBytes = () => undefined;
    const kept = must(await lab.cached());
    const whole = kept.files.filter(({ complete }) => complete).map(({ name }) => name);
    await works(lab, host.url);
    await isWhole(lab);
    const again = host.asked.slice(n_before).filter((name, i, all) => all.indexOf(name) !== i);
    expect(again.filter((name) => whole.includes(name)), `round ${round}: what was whole is not fetched again`).toEqual([]);
  }
});

test('a worker ended at any moment, as by an abort, leaves what the next load goes on from', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  for (let round = 1; round <= 8; round++) {
    must(await lab.clear());
    const limit = Math.floor((TOTAL * (round - 0.5)) / 8);
    let from: number | undefined;
    host.onBytes = (sent) => {
      from ??= sent;
      if (sent - from >= limit) void lab.abort(`round ${round}`);
      return undefined;
    };
    const outcome = await lab.tryLoad('aborted', { model: host.url, device: 'wasm', signal: `round ${round}` });
    host.onBytes = () => undefined;
    // What is left after the last bytes may be done before the abort arrives.
    if (outcome.error) expect(outcome.error.name).toBe('AbortError');
    else must(await lab.dispose('aborted'));
    await works(lab, host.url);
    await isWhole(lab);
  }
});

test('two tabs that load at once download every file once', async ({ page, site, context }) => {
  const host = await serveWeights(TINY);
  const labs = [await Lab.open(page, site), await Lab.open(await context.newPage(), site)];
  await Promise.all(labs.map((lab) => works(lab, host.url)));
  expect(host.asked.sort()).toEqual(FILES.map(({ path }) => path).sort());
  await isWhole(labs[0]!);
});

test('a disk with no room for the model is seen before the download, which then goes on without it', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  // The inspector's quota shows in no estimate, so that is told here; in the page's thread, where it can be.
  await page.evaluate((quota) => { navigator.storage.estimate = async () => ({ quota, usage: 0 }); }, TOTAL / 2);
  expect(warnings(await works(lab, host.url, { worker: false }))).toEqual(['QUOTA']);
  expect(must(await lab.cached()).files).toEqual([]);
  expect(warnings(await works(lab, host.url))).toEqual([]);
  await isWhole(lab);
});

test('a disk that fills up during the download leaves every file whole or absent', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  for (const share of [0.1, 0.5, 0.9]) {
    must(await lab.clear());
    let is_limited = false;
    let from: number | undefined;
    host.onBytes = (sent) => {
      from ??= sent;
      if (is_limited || sent - from < TOTAL * share) return undefined;
      is_limited = true;
      return limitStorage(page, site, 1);
    };
    const events = await works(lab, host.url);
    host.onBytes = () => undefined;
    expect(warnings(events), `at ${share}`).toEqual(['QUOTA']);
    const { files } = must(await lab.cached());
    expect(files.every(({ complete }) => complete), JSON.stringify(files)).toBe(true);
    expect(files.length).toBeLessThan(FILES.length);
    await limitStorage(page, site, undefined);
    await works(lab, host.url);
    await isWhole(lab);
  }
});

test('weights that were damaged on the disk are fetched again', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  await works(lab, host.url);
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('jina-embeddings-web-weights') as unknown as { values(): AsyncIterable<FileSystemFileHandle>; removeEntry(name: string): Promise<void> };
    let n = 0;
    for await (const file of folder.values()) {
      if (!/\.0\.\d+\./.test(file.name)) continue;
      const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
      n += 1;
      if (n % 3 === 0) await folder.removeEntry(file.name);
      else {
        const out = await file.createWritable();
        if (n % 3 === 1) bytes[bytes.length >> 1]! ^= 1;
        await out.write(n % 3 === 1 ? bytes : bytes.subarray(0, 1000));
        await out.close();
      }
    }
  });
  await works(lab, host.url);
  expect(host.asked).toHaveLength(2 * FILES.length);
  await isWhole(lab);
});

test('GGUF files at bare addresses, as Jina publishes them, are kept by address and version', async ({ page, site }) => {
  const host = await serveWeights(join(FIXTURES, 'tiny_gguf'));
  const lab = await Lab.open(page, site);
  const model = { text: `${host.url}tiny-jina-v4-a-retrieval-F16.gguf`, vision: `${host.url}mmproj-tiny-jina-v4-a-BF16.gguf` };
  for (const n_asked of [2, 2]) {
    must(await lab.tryLoad('bare', { model, device: 'wasm' }));
    expect((await lab.vectors('bare', [TEXTS['short']!], { task }))[0]!.values.every(Number.isFinite)).toBe(true);
    must(await lab.dispose('bare'));
    expect(host.asked).toHaveLength(n_asked);
  }
});

test('files that the visitor picked, and a fetch of the page’s own, load the same model', async ({ page, site }) => {
  const lab = await Lab.open(page, site);
  const model = { text: `${site}fixtures/tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf`, vision: `${site}fixtures/tiny_gguf/mmproj-tiny-jina-v4-a-BF16.gguf` };
  const vectors: number[][] = [];
  for (const options of [{}, { asFiles: true }, { ownFetch: true }]) {
    must(await lab.tryLoad('own', { model, device: 'wasm', ...options }));
    vectors.push([...(await lab.vectors('own', [TEXTS['short']!], { task }))[0]!.values]);
    must(await lab.dispose('own'));
  }
  expect(vectors[1]).toEqual(vectors[0]);
  expect(vectors[2]).toEqual(vectors[0]);
});

test('a connection that breaks again and again is gone on with, and one that always does is an error', async ({ page, site }) => {
  const host = await serveWeights(TINY);
  const lab = await Lab.open(page, site);
  let n_broken = 0;
  host.onBytes = (sent) => (n_broken < 6 && sent > (n_broken + 1) * 900_000 ? (n_broken++, 'break' as const) : undefined);
  await works(lab, host.url);
  expect(n_broken).toBe(6);
  must(await lab.clear());
  host.onBytes = () => 'break';
  const error = failed(await lab.tryLoad('never', { model: host.url, device: 'wasm' }));
  expect(error.code).toBe('DOWNLOAD_FAILED');
  host.onBytes = () => undefined;
  await works(lab, host.url);
  await isWhole(lab);
});
