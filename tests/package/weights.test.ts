// What is kept of a model's files, and what comes of a store that is full, fails or was damaged.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import xxhash from 'xxhash-wasm';
import { Guard } from '../../www/lib/engine/guard.js';
import { loadFiles } from '../../www/lib/engine/load-files.js';
import { openWith } from '../../www/lib/fetch-body.js';
import { planDirectory } from '../../www/lib/model-files.js';
import { planModel } from '../../www/lib/plan-model.js';
import type { WasmModelLoader } from '../../www/lib/wasm-face.js';
import { Checksums } from '../../www/lib/weights/checksum.js';
import { cachedWeights, clearWeights, downloadOf, remoteFacts } from '../../www/lib/weights/index.js';
import { isParted } from '../../www/lib/weights/parted-store.js';
import { full, memoryStore, type MemoryStore } from './support/memory-store.js';
import { bytesOf, serveFiles, sha256, type Answer } from './support/model-server.js';
import { DEVICE, HashingLoader, isEmpty, isWhole, KINDS, load, manifest, NAMES, PARTS, PIECE, serveModel, servers, type Model } from './support/served-model.js';

describe('the checksum of a piece', () => {
  test('is XXH64, whatever its length', async () => {
    const checksums = await Checksums.load(), { h64Raw } = await xxhash();
    // Of the algorithm's description and of xxhsum.
    assert.equal(checksums.of(new Uint8Array()), 'ef46db3751d8e999');
    assert.equal(checksums.of(new TextEncoder().encode('abc')), '44bc2cf5ad770999');
    const bytes = bytesOf(200_000);
    for (const [from, to] of [[0, 31], [1, 65536], [0, 65536], [3, 65540], [0, 131072], [5, 199_999], [0, 200_000]] as const) {
      assert.equal(checksums.of(bytes.subarray(from, to)), h64Raw(bytes.subarray(from, to)).toString(16).padStart(16, '0'), `bytes ${from} to ${to}`);
    }
  });
});

describe('the room of checksums', () => {
  test('grows to what is asked for, and its bytes have the checksum that they have elsewhere', async () => {
    const checksums = await Checksums.load(), bytes = bytesOf(200_007);
    for (const [from, to] of [[0, 5], [0, 200_007], [7, 200_000], [3, 67]] as const) {
      const part = bytes.subarray(from, to), room = checksums.room(part.length);
      room.set(part);
      const outside = checksums.of(part);
      assert.equal(checksums.of(room), outside, `bytes ${from} to ${to}`);
      assert.deepEqual(room, part);
      if (to - from > 100) assert.equal(checksums.of(room.subarray(50, 99)), checksums.of(part.subarray(50, 99)));
    }
  });

  test('that there is no memory for is an error with a code', async () => {
    const checksums = await Checksums.load();
    assert.throws(() => checksums.room(2 ** 33), { code: 'IO' });
    assert.equal(checksums.of(new Uint8Array()), 'ef46db3751d8e999');
  });
});

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

  test('with checksums of another kind are let go and fetched again', async () => {
    const model = await serveModel({ pieces: true, ranges: true });
    const store = memoryStore();
    await load(model, store);
    for (const [name, bytes] of [...store.kept]) {
      if (!name.includes('.x')) continue;
      store.kept.delete(name);
      store.kept.set(name.replace('.x', '.'), bytes);
    }
    await load(model, store);
    await isWhole(model, store);
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
        const store = kind.store();
        await load(model, store);
        const name = [...store.kept.keys()].find((each) => each.startsWith(`${sha256(PARTS['text-1.gguf'])}.${isParted(store) ? 0 : 2}.`)) as string;
        const bytes = store.kept.get(name) as Uint8Array;
        const damaged = damage(bytes);
        if (damaged === undefined) store.kept.delete(name);
        else store.kept.set(name, damaged);
        const before = model.asked.length;
        await load(model, store);
        const again = model.asked.slice(before);
        const lost = Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, i) => bytes.subarray(i * PIECE, (i + 1) * PIECE))
          .filter((piece, i) => damaged === undefined || sha256(damaged.subarray(i * PIECE, (i + 1) * PIECE)) !== sha256(piece));
        if (kind.ranges) assert.equal(again.reduce((sum, { range: [start, end] = [0, 0] }) => sum + end - start, 0), Buffer.concat(lost).length);
        else assert.equal(again.length, 1);
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

describe('a store', () => {
  for (const kind of KINDS) {
    test(`that is full at any put leaves every file whole or absent; the load succeeds and says once that it is not kept (${kind.named})`, async () => {
      const model = await serveModel(kind);
      let nPuts = 0;
      const counting = kind.store();
      counting.beforePut = () => void nPuts++;
      await load(model, counting);
      for (let at = 0; at < nPuts; at++) {
        const store = kind.store();
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
