// Downloads that are cut off, at any byte and in any way a server has, and what the next load makes of it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EmbedderError } from '../../www/lib/errors.js';
import { cachedWeights } from '../../www/lib/weights/index.js';
import { memoryStore } from './support/memory-store.js';
import { isWhole, KINDS, load, NAMES, PARTS, PIECE, serveModel, type Part } from './support/served-model.js';

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

/** The last file is complete: its bytes, the bytes of all, `upload` and `done`. They are told after the work. */
const EVENTS_OF_THE_END = 4;

describe('a download that was cut off', () => {
  for (const kind of KINDS) {
    test(`at any of 40 random bytes leaves a cache that the next load completes (${kind.named})`, async () => {
      const next = random(1 + KINDS.indexOf(kind));
      const total = NAMES.reduce((sum, name) => sum + PARTS[name].length, 0);
      let nResumed = 0;
      for (let i = 0; i < 40; i++) {
        const model = await serveModel(kind);
        const store = kind.store();
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
      assert.ok(nResumed > 20, `${nResumed} loads went on from where they were`);
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
        const store = kind.store();
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
      const steps = await load(model, kind.store()).then((events) => events.length);
      for (let step = 0; step < steps; step += 3) {
        const store = kind.store();
        const controller = new AbortController();
        let n = 0;
        const loading = load(model, store, { signal: controller.signal, onProgress: () => void (n++ === step && controller.abort()) });
        const error = await loading.then(() => undefined, (reason: Error) => reason);
        assert.equal(error?.name ?? 'AbortError', 'AbortError', `step ${step}`);
        // Chunks come as they come, so that a run may have fewer steps.
        assert.ok(error !== undefined || n <= step + EVENTS_OF_THE_END || !controller.signal.aborted, `step ${step} of ${n}`);
        const kept = store.kept.size;
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert.equal(store.kept.size, kept, 'nothing is put after the load has rejected');
        await load(model, store);
        await isWhole(model, store);
      }
    });
  }
});
