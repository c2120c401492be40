// The engine's loading of files with a store, over a real HTTP server that breaks; the loader of the wasm
// face is a stand-in that hashes what it is given. Pieces have 64 KiB here, so that a file has several.

import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { Guard } from '../../www/lib/engine/guard.js';
import { loadFiles } from '../../www/lib/engine/load-files.js';
import type { EmbedderError } from '../../www/lib/errors.js';
import { openWith } from '../../www/lib/fetch-body.js';
import { planDirectory } from '../../www/lib/model-files.js';
import { planModel } from '../../www/lib/plan-model.js';
import type { ProgressEvent } from '../../www/lib/types.js';
import type { WasmDevice, WasmModelLoader } from '../../www/lib/wasm-face.js';
import { cachedWeights, clearWeights, descriptionsIn, downloadOf, remoteFacts } from '../../www/lib/weights/index.js';
import { full, memoryStore, type MemoryStore } from './support/memory-store.js';
import { bytesOf, serveFiles, sha256, type Answer, type ModelServer } from './support/model-server.js';
import { ranged, type Asked, type Fault } from './support/range-server.js';

const PIECE = 1 << 16;
const PARTS = { 'text-1.gguf': bytesOf(5 * PIECE + 777, 1), 'text-2.gguf': bytesOf(2 * PIECE, 2), 'vision.gguf': bytesOf(1234, 3) };
type Part = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as Part[];

/** Whether the model.json tells the hashes of pieces, and whether servers know ranges. */
interface Kind { readonly pieces: boolean; readonly ranges: boolean }

interface Model {
  readonly url: string;
  /** What goes wrong with the next answers. */
  fault: ((name: Part, asked: Asked, n: number) => Fault | undefined) | undefined;
  readonly asked: (Asked & { readonly name: Part })[];
  parts: Record<Part, Uint8Array>;
}

const servers: ModelServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

const manifest = (parts: Record<Part, Uint8Array>, { pieces }: Kind): string => {
  const files = NAMES.map((path) => {
    const bytes = parts[path];
    const hashes = Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, i) => sha256(bytes.subarray(i * PIECE, (i + 1) * PIECE)));
    return { path, role: path.startsWith('text') ? 'text' : 'vision', n_bytes: bytes.length, sha256: sha256(bytes), ...(pieces ? { pieces: { n_bytes: PIECE, sha256: hashes } } : {}) };
  });
  return JSON.stringify({ format: 'jina-embeddings-web', format_version: 1, name: 'tiny', files });
};

async function serveModel(kind: Kind): Promise<Model> {
  const asked: Model['asked'] = [];
  const answer = (name: Part): Answer => (request, response) => {
    const served = ranged(model.parts[name], {
      ranges: kind.ranges,
      fault: (each) => {
        asked.push({ ...each, name });
        return model.fault?.(name, each, asked.length - 1);
      },
    }) as Extract<Answer, (...given: never) => void>;
    served(request, response);
  };
  const server = await serveFiles({ 'model.json': (_, response) => void response.end(manifest(model.parts, kind)), ...Object.fromEntries(NAMES.map((name) => [name, answer(name)])) });
  servers.push(server);
  const model: Model = { url: server.url, fault: undefined, asked, parts: { ...PARTS } };
  return model;
}

const DEVICE = { gpu_device: () => undefined } as unknown as WasmDevice;

/** Takes files as the wasm loader does, and tells their hashes. */
class HashingLoader implements Pick<WasmModelLoader, 'begin_file' | 'push' | 'end_file'> {
  readonly hashes: string[] = [];
  #hash: Hash | undefined;
  begin_file(): void { this.#hash = createHash('sha256'); }
  push(chunk: Uint8Array): void { this.#hash?.update(chunk); }
  end_file(): void { this.hashes.push(this.#hash?.digest('hex') ?? ''); }
}

interface LoadOptions { readonly signal?: AbortSignal; readonly onProgress?: (event: ProgressEvent) => void; readonly onSlice?: (n: number) => void }

/** Loads the model as the engine does, and returns the events. Fails unless every byte arrived as it was served. */
async function load(model: Model, store: MemoryStore, { signal = new AbortController().signal, onProgress, onSlice }: LoadOptions = {}): Promise<ProgressEvent[]> {
  const events: ProgressEvent[] = [];
  const open = openWith((url, init) => fetch(url, init));
  const plan = await planModel({ kind: 'directory', url: model.url }, { images: true, multivector: true }, open, signal, descriptionsIn(store));
  const files = plan.files.map((file) => ({ ...file, pieces: file.pieces ?? { nBytes: PIECE, sha256: undefined } }));
  const loader = new HashingLoader();
  let n = 0;
  const counting = Object.assign(Object.create(loader) as HashingLoader, {
    begin_file: () => loader.begin_file(), end_file: () => loader.end_file(),
    push: (chunk: Uint8Array) => (onSlice?.(n++), loader.push(chunk)),
  });
  await loadFiles(files, await remoteFacts(files, open, signal), counting as unknown as WasmModelLoader, DEVICE, {
    guard: new Guard(() => undefined), open, signal, store, isBrowsersStore: false, folder: model.url, retryPauseMs: 0,
    onProgress: (event) => (events.push(event), onProgress?.(event)),
  });
  assert.deepEqual(loader.hashes, plan.files.map(({ name }) => sha256(model.parts[name as Part])));
  return events;
}

/** Fails unless every file of the model is kept whole, and nothing else is. */
async function isWhole(model: Model, store: MemoryStore): Promise<void> {
  const { files, nBytes } = await cachedWeights({ cache: store }, undefined);
  assert.deepEqual(files.map(({ url, complete }) => [url, complete]).sort(), NAMES.map((name) => [model.url + name, true]).sort());
  assert.equal(nBytes, NAMES.reduce((sum, name) => sum + model.parts[name].length, 0));
  const before = model.asked.length;
  await load(model, store);
  assert.equal(model.asked.length, before, 'a whole cache asks no server');
}

const isEmpty = async (store: MemoryStore): Promise<void> => assert.deepEqual((await cachedWeights({ cache: store }, undefined)).files, []);

/** A repeatable stream of numbers in [0, 1): mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const KINDS: readonly (Kind & { readonly named: string })[] = [
  { named: 'with hashes of pieces, from a server with ranges', pieces: true, ranges: true },
  { named: 'with hashes of files, from a server with ranges', pieces: false, ranges: true },
  { named: 'with hashes of files, from a server without ranges', pieces: false, ranges: false },
];

describe('weights that are kept', () => {
  test('are not downloaded again', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    const first = await load(model, store);
    assert.ok(first.filter(({ status }) => status === 'download').every((event) => 'cached' in event && event.cached === 0));
    await isWhole(model, store);
    const second = await load(model, store);
    assert.deepEqual(second.flatMap((event) => (event.status === 'download' ? [event.cached] : [])), NAMES.map((name) => PARTS[name].length));
    assert.deepEqual(second.filter(({ status }) => status === 'progress_total').at(-1), first.filter(({ status }) => status === 'progress_total').at(-1));
  });

  test('serve when their server cannot be reached', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    await load(model, store);
    await servers.at(-1)?.close();
    await load(model, store);
  });

  test('are the new ones when the model was replaced, and the old ones are gone', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    await load(model, store);
    model.parts = { ...PARTS, 'text-2.gguf': bytesOf(PIECE + 5, 9) };
    await load(model, store);
    await isWhole(model, store);
  });

  test('of one file that two models share are kept once', async () => {
    const one = await serveModel({ pieces: true, ranges: true }), other = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    await load(one, store);
    await load(other, store);
    assert.equal(other.asked.length, 0);
  });

  for (const [what, damage] of [
    ['a flipped bit', (bytes: Uint8Array) => bytes.map((byte, i) => (i === 1000 ? byte ^ 64 : byte))],
    ['an end cut off', (bytes: Uint8Array) => bytes.subarray(0, -3)],
    ['nothing but zeros', (bytes: Uint8Array) => new Uint8Array(bytes.length)],
    ['nothing at all', () => undefined],
  ] as const) {
    for (const kind of KINDS) {
      test(`that have become ${what} are fetched again, and no more of them (${kind.named})`, async () => {
        const model = await serveModel(kind);
        const store = memoryStore();
        await load(model, store);
        const piece = [...store.kept.keys()].find((name) => name.includes(`${sha256(PARTS['text-1.gguf'])}.2.`)) as string;
        const damaged = damage(store.kept.get(piece) as Uint8Array);
        if (damaged === undefined) store.kept.delete(piece);
        else store.kept.set(piece, damaged);
        const before = model.asked.length;
        await load(model, store);
        assert.equal(model.asked.length, before + 1);
        await isWhole(model, store);
      });
    }
  }

  test('can be looked at and deleted, all of them or one model', async () => {
    const [one, other] = [await serveModel({ pieces: true, ranges: true }), await serveModel({ pieces: true, ranges: true })];
    other.parts = { 'text-1.gguf': bytesOf(100, 7), 'text-2.gguf': bytesOf(200, 8), 'vision.gguf': bytesOf(300, 9) };
    const store = memoryStore();
    await load(one, store);
    await load(other, store);
    assert.equal((await cachedWeights({ cache: store, model: other.url }, undefined)).nBytes, 600);
    assert.equal(await clearWeights({ cache: store, model: other.url }, undefined), 600);
    await isWhole(one, store);
    await clearWeights({ cache: store }, undefined);
    await isEmpty(store);
    assert.equal(store.kept.size, 0);
  });

  test('are subtracted from what is to be downloaded', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    const ask = (): ReturnType<typeof downloadOf> => {
      const { files } = planDirectory(manifest(model.parts, { pieces: true, ranges: true }), model.url, { images: true, multivector: true });
      return remoteFacts(files, openWith((url, init) => fetch(url, init)), new AbortController().signal).then((facts) => downloadOf(files, facts, store));
    };
    const all = NAMES.reduce((sum, name) => sum + PARTS[name].length, 0);
    assert.deepEqual(await ask(), { nFiles: 3, nBytes: all, nBytesCached: 0 });
    model.fault = (name, { range }) => (name === 'text-2.gguf' ? { status: 404 } : range === undefined ? {} : undefined);
    await assert.rejects(load(model, store), { code: 'DOWNLOAD_FAILED' });
    assert.deepEqual(await ask(), { nFiles: 2, nBytes: all - PARTS['text-1.gguf'].length, nBytesCached: PARTS['text-1.gguf'].length });
    model.fault = undefined;
    await load(model, store);
    assert.deepEqual(await ask(), { nFiles: 0, nBytes: 0, nBytesCached: all });
  });
});

describe('a download that was cut off', () => {
  for (const kind of KINDS) {
    test(`at any of 60 random bytes leaves a cache that the next load completes (${kind.named})`, async () => {
      const next = random(kind.pieces ? 1 : kind.ranges ? 2 : 3);
      const total = NAMES.reduce((sum, name) => sum + PARTS[name].length, 0);
      let nResumed = 0;
      for (let i = 0; i < 60; i++) {
        const model = await serveModel(kind);
        const store = memoryStore();
        const cut = Math.floor(next() * total);
        // Every request that comes to this byte of the model breaks there.
        model.fault = (name, { range, method }) => {
          const before = NAMES.slice(0, NAMES.indexOf(name)).reduce((sum, each) => sum + PARTS[each].length, 0);
          const [start, end] = (kind.ranges ? range : undefined) ?? [0, PARTS[name].length];
          return method === 'GET' && before + start <= cut && cut < before + end ? { cutAfter: cut - before - start } : undefined;
        };
        await assert.rejects(load(model, store), { code: 'DOWNLOAD_FAILED' }, `cut at ${cut}`);
        model.fault = undefined;
        const kept = (await cachedWeights({ cache: store }, undefined)).nBytes;
        assert.ok(kept <= cut + 4 * PIECE, `${kept} bytes are kept of ${cut}`);
        if (kept > 0) nResumed += 1;
        await load(model, store);
        await isWhole(model, store);
      }
      assert.ok(nResumed > 30, `${nResumed} loads went on from where they were`);
    });
  }

  test('goes on from what is there', async () => {
    const model = await serveModel({ pieces: false, ranges: true });
    const store = memoryStore();
    model.fault = (name, { range }) => (name === 'text-1.gguf' && range !== undefined && range[0] >= 4 * PIECE ? { status: 404 } : undefined);
    await assert.rejects(load(model, store), { code: 'DOWNLOAD_FAILED' });
    model.fault = undefined;
    const before = model.asked.length;
    const [kept] = (await cachedWeights({ cache: store }, undefined)).files;
    const starts = [...store.kept.keys()].flatMap((name) => /^[0-9a-f]{64}\.(\d+)\./.exec(name)?.[1] ?? []).map((index) => Number(index) * PIECE);
    assert.ok(starts.length >= 1 && starts.length <= 4 && kept?.complete === false, `${starts.length} pieces are kept`);
    await load(model, store);
    const again = model.asked.slice(before).filter(({ name }) => name === 'text-1.gguf');
    assert.ok(again.length >= 6 - starts.length && again.every(({ range }) => range !== undefined && !starts.includes(range[0])), JSON.stringify(again));
    await isWhole(model, store);
  });

  for (const [what, fault, code] of [
    ['by a file of another length', { shortTo: 60_000 }, 'DOWNLOAD_FAILED'],
    ['by wrong bytes', { flip: 5000 }, 'INTEGRITY'],
    ['by a third file that is not there', { status: 404 }, 'DOWNLOAD_FAILED'],
    ['by a server that fails', { status: 500 }, 'DOWNLOAD_FAILED'],
    ['by redirects that lead in a circle', { redirectTo: 'vision.gguf' }, 'DOWNLOAD_FAILED'],
  ] as const) {
    for (const kind of KINDS) {
      test(`${what} says so, and the next load succeeds (${kind.named})`, async () => {
        const model = await serveModel(kind);
        const store = memoryStore();
        const broken: Part = what.includes('third') || what.includes('redirects') ? 'vision.gguf' : 'text-2.gguf';
        model.fault = (name) => (name === broken ? { ...fault, ...('shortTo' in fault && kind.ranges ? { shortTo: 0 } : {}) } : undefined);
        const error = await load(model, store).then(() => assert.fail('it loaded'), (reason: EmbedderError) => reason);
        assert.equal(error.code, code, error.message);
        assert.equal(error.data['url'], model.url + broken);
        model.fault = undefined;
        await load(model, store);
        await isWhole(model, store);
      });
    }
  }

  for (const kind of KINDS) {
    test(`by an abort at any step leaves nothing under way, and the next load succeeds (${kind.named})`, async () => {
      const model = await serveModel(kind);
      const steps = await load(model, memoryStore()).then((events) => events.length);
      for (let step = 0; step < steps; step += 3) {
        const store = memoryStore();
        const controller = new AbortController();
        let n = 0;
        const loading = load(model, store, { signal: controller.signal, onProgress: () => void (n++ === step && controller.abort()) });
        const error = await loading.then(() => undefined, (reason: Error) => reason);
        // Chunks come as they come: a run may have fewer steps, and the last ones come after the work.
        assert.equal(error?.name ?? 'AbortError', 'AbortError', `step ${step}`);
        assert.ok(error !== undefined || n <= step + 3 || !controller.signal.aborted, `step ${step} of ${n}`);
        const kept = store.kept.size;
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert.equal(store.kept.size, kept, 'nothing is put after the load has rejected');
        await load(model, store);
        await isWhole(model, store);
      }
    });
  }
});

describe('a store', () => {
  for (const kind of KINDS) {
    test(`that is full at any put leaves every file whole or absent; the load succeeds and says once that it is not kept (${kind.named})`, async () => {
      const model = await serveModel(kind);
      let nPuts = 0;
      const counting = memoryStore();
      counting.beforePut = () => void nPuts++;
      await load(model, counting);
      for (let at = 0; at < nPuts; at++) {
        const store = memoryStore();
        let n = 0;
        store.beforePut = () => void (n++ >= at && full());
        const warnings = (await load(model, store)).filter(({ status }) => status === 'uncached');
        assert.equal(warnings.length, at === 0 && n === 1 ? 0 : 1, `put ${at}`);
        for (const warning of warnings) assert.equal('code' in warning && warning.code, 'QUOTA');
        const { files } = await cachedWeights({ cache: store }, undefined);
        assert.ok(files.every(({ complete }) => complete), `put ${at}: ${JSON.stringify(files)}`);
        store.beforePut = () => undefined;
        await load(model, store);
        await isWhole(model, store);
      }
    });
  }

  test('that fails to read is done without', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    await load(model, store);
    const failing: MemoryStore = { ...store, get: () => Promise.reject(new Error('the disk is gone')) };
    const events = await load(model, failing);
    assert.deepEqual(events.flatMap((event) => (event.status === 'uncached' ? [event.code] : [])), ['IO']);
  });

  test('is not asked of a file of which nothing tells one version from another', async () => {
    const answer: Answer = (request, response) => {
      if (request.method === 'HEAD') return void response.writeHead(405).end();
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      response.end(bytesOf(3000));
    };
    const server = await serveFiles({ 'm.gguf': answer });
    servers.push(server);
    const store = memoryStore();
    const open = openWith((url, init) => fetch(url, init));
    const { signal } = new AbortController();
    const plan = await planModel({ kind: 'files', files: [{ role: 'text', name: 'm.gguf', source: { url: `${server.url}m.gguf` } }] }, { images: true, multivector: true }, open, signal);
    await loadFiles(plan.files, await remoteFacts(plan.files, open, signal), new HashingLoader() as unknown as WasmModelLoader, DEVICE, { guard: new Guard(() => undefined), open, signal, store, isBrowsersStore: false, folder: undefined, retryPauseMs: 0, onProgress: () => undefined });
    assert.equal(store.kept.size, 0);
  });
});

describe('a GGUF file at a bare address', () => {
  const bare = async (model: Model, store: MemoryStore): Promise<void> => {
    const open = openWith((url, init) => fetch(url, init));
    const { signal } = new AbortController();
    const loader = new HashingLoader();
    const plan = await planModel({ kind: 'files', files: [{ role: 'text', name: 'text-1.gguf', source: { url: `${model.url}text-1.gguf` } }] }, { images: true, multivector: true }, open, signal);
    await loadFiles(plan.files, await remoteFacts(plan.files, open, signal), loader as unknown as WasmModelLoader, DEVICE, { guard: new Guard(() => undefined), open, signal, store, isBrowsersStore: false, folder: undefined, retryPauseMs: 0, onProgress: () => undefined });
    assert.deepEqual(loader.hashes, [sha256(model.parts['text-1.gguf'])]);
  };

  test('is kept by its address and version: asked for its head alone, fetched again when it has changed, served when unreachable', async () => {
    const model = await serveModel({ pieces: false, ranges: true });
    const store = memoryStore();
    await bare(model, store);
    const before = model.asked.length;
    await bare(model, store);
    assert.deepEqual(model.asked.slice(before).map(({ method }) => method), ['HEAD']);
    model.parts['text-1.gguf'] = bytesOf(5 * PIECE + 777, 99);
    await bare(model, store);
    assert.deepEqual((await cachedWeights({ cache: store }, undefined)).files.map(({ complete, nBytesCached }) => [complete, nBytesCached]), [[true, 5 * PIECE + 777]]);
    await servers.at(-1)?.close();
    await bare(model, store);
  });
});
