// The search in a real browser: the Rust index in its worker against plain JavaScript, and its files in
// OPFS and IndexedDB, through kills, cuts, flips, a full disk and several tabs. No model.
import { plainFace } from '../package/support/plain-index';
import { expect, test } from './support/test';
import { openSearchLab, type SearchLab } from './support/search-lab';

declare const search: SearchLab;

const DIMENSIONS = 64;
const STORAGES = ['opfs', 'indexeddb'] as const;

/** The numbers that the page's `vectorOf` gives. */
function vectorOf(seed: number, dimensions: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: dimensions }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * 2 - 1;
  });
}

test('the index ranks as plain JavaScript does: vectors, MaxSim, filters, cosine and dot product, with and without a worker', async ({ page, site }) => {
  const complaints = await openSearchLab(page, site);
  const N = 300, TOKENS = 8, TOKEN_DIMENSIONS = 16;
  for (const metric of ['cosine', 'dot'] as const) {
    const found = await page.evaluate(async ({ N, TOKENS, TOKEN_DIMENSIONS, DIMENSIONS, metric }) => {
      const { createIndex, documentOf, vectorOf, space, multivectorSpace } = search;
      const index = await createIndex({ storage: 'memory', metric, multivectorStorage: 'float32', ...(metric === 'dot' ? { worker: false as const } : {}) });
      const tokens = (seed: number, rows: number) => ({ values: vectorOf(seed, rows * TOKEN_DIMENSIONS), rows, dimensions: TOKEN_DIMENSIONS });
      await index.add(Array.from({ length: N }, (_, i) => documentOf(i, DIMENSIONS, { multivectorSpace, passages: [{ vector: vectorOf(i, DIMENSIONS), multivector: tokens(10_000 + i, TOKENS) }] })));
      const lists: Array<Array<[string, number]>> = [];
      for (let q = 0; q < 5; q++) {
        const query = { vector: vectorOf(50_000 + q, DIMENSIONS), space };
        const multi = { ...query, multivector: tokens(60_000 + q, 4), multivectorSpace };
        for (const result of [await index.search(query, { k: 20 }), await index.search(query, { k: 20, filter: { even: true, n: { gte: 100 } } }), await index.search(multi, { k: 20, candidates: N })]) {
          lists.push(result.hits.map(({ id, score }) => [id, score]));
        }
      }
      await index.close();
      return lists;
    }, { N, TOKENS, TOKEN_DIMENSIONS, DIMENSIONS, metric });

    const plain = new plainFace.SearchIndex({ dimensions: DIMENSIONS, space: 's', multivectorDimensions: TOKEN_DIMENSIONS, multivectorSpace: 'm', metric });
    const ids = Array.from({ length: N }, (_, i) => `d${i}`);
    plain.upsert({
      ids, space: 's', multivectorSpace: 'm',
      vectors: Float32Array.from(ids.flatMap((_, i) => [...vectorOf(i, DIMENSIONS)])),
      multivectors: ids.map((_, i) => vectorOf(10_000 + i, TOKENS * TOKEN_DIMENSIONS)),
      fields: ids.map((_, i) => ({ n: i, even: i % 2 === 0 })),
    });
    const expected = [0, 1, 2, 3, 4].flatMap((q) => {
      const query = { vector: vectorOf(50_000 + q, DIMENSIONS), space: 's', k: 20 };
      const filter = { and: [{ field: 'even', equals: true }, { field: 'n', gte: 100 }] };
      return [plain.search(query), plain.search({ ...query, filter }), plain.search({ multivector: vectorOf(60_000 + q, 4 * TOKEN_DIMENSIONS), multivectorSpace: 'm', k: 20 })];
    });
    expect(found.length).toBe(expected.length);
    found.forEach((list, i) => {
      expect(list.map(([id]) => id)).toEqual(expected[i]!.map(({ id }) => id));
      // f32 sums of 64 products, of values up to 1, against f64.
      list.forEach(([, score], at) => expect(Math.abs(score - expected[i]![at]!.score)).toBeLessThan(2e-5));
    });
  }
  expect(complaints).toEqual([]);
});

test('a first stage of shorter, 8-bit or 1-bit vectors finds what full vectors rank best', async ({ page, site }) => {
  await openSearchLab(page, site);
  const recalls = await page.evaluate(async () => {
    const { createIndex, vectorOf, space } = search;
    const dimensions = 256, n = 2000, k = 10;
    // Around 40 centres, as embeddings of related texts are; the first numbers carry the most, as Matryoshka training has them.
    const centres = Array.from({ length: 40 }, (_, c) => vectorOf(1000 + c, dimensions));
    const vector = (i: number): Float32Array => {
      const noise = vectorOf(100_000 + i, dimensions), centre = centres[i % centres.length]!;
      return noise.map((value, at) => (centre[at]! + 0.5 * value) / Math.sqrt(1 + at / 16));
    };
    const documents = Array.from({ length: n }, (_, i) => ({ id: `d${i}`, space, passages: [{ vector: vector(i) }] }));
    const queries = Array.from({ length: 20 }, (_, q) => vector(500_000 + q));
    const recalls: Record<string, number> = {};
    for (const firstStage of [{ kind: 'float32', dimensions: 64 }, { kind: 'int8' }, { kind: 'binary' }] as const) {
      const index = await createIndex({ storage: 'memory', firstStage });
      await index.add(documents);
      let shared = 0;
      for (const query of queries) {
        const exact = (await index.search({ vector: query, space }, { k, exact: true })).hits.map(({ id }) => id);
        const fast = (await index.search({ vector: query, space }, { k })).hits.map(({ id }) => id);
        shared += fast.filter((id) => exact.includes(id)).length;
      }
      recalls[firstStage.kind] = shared / (k * queries.length);
      await index.close();
    }
    return recalls;
  });
  console.log(`recall@10: ${JSON.stringify(recalls)}`);
  for (const [kind, recall] of Object.entries(recalls)) expect(recall, kind).toBeGreaterThanOrEqual(0.99);
});

for (const storage of STORAGES) {
  test(`in ${storage} the index survives a reload, with its words, fields and order`, async ({ page, site }) => {
    const complaints = await openSearchLab(page, site);
    await page.evaluate(async ({ storage, DIMENSIONS }) => {
      const index = await search.createIndex({ name: 'kept', storage });
      await index.add([0, 1, 2, 3].map((i) => search.documentOf(i, DIMENSIONS)));
      await index.update(search.documentOf(1, DIMENSIONS, { fields: { n: 11 } }));
      await index.delete('d2');
    }, { storage, DIMENSIONS });
    await openSearchLab(page, site);
    const found = await page.evaluate(async ({ storage, DIMENSIONS }) => {
      const index = await search.createIndex({ name: 'kept', storage });
      const [list, byWord, byVector, info] = [await index.list(), await index.search('number 3', { mode: 'keyword' }), await index.search({ vector: search.vectorOf(3, DIMENSIONS), space: search.space }, { k: 1 }), await index.info()];
      await index.compact();
      const after = await index.count();
      await index.close();
      return { list: list.map(({ id, fields }) => [id, fields['n']]), byWord: byWord.hits[0]?.id, byVector: byVector.hits[0]?.id, storage: info.storage, bytes: info.fileBytes, after };
    }, { storage, DIMENSIONS });
    expect(found).toMatchObject({ list: [['d0', 0], ['d1', 11], ['d3', 3]], byWord: 'd3', byVector: 'd3', storage, after: 3 });
    expect(found.bytes).toBeGreaterThan(4 * 4 * DIMENSIONS);
    expect(complaints).toEqual([]);
  });

  test(`in ${storage} a worker that is killed at any point leaves the last committed state`, async ({ page, site }) => {
    test.slow();
    await openSearchLab(page, site);
    const rounds = await page.evaluate(async ({ storage }) => {
      const { createIndex, documentOf } = search;
      const rounds: Array<{ round: number; acknowledged: number; found: number; whole: boolean; discarded: number; gone: boolean }> = [];
      const PER_COMMIT = 64, BIG = 256;
      for (let round = 0; round < 24; round++) {
        const name = `killed-${round % 4}`;
        const fresh = await createIndex({ name, storage });
        await fresh.clear();
        await fresh.close();
        const worker = new Worker('/jina-embeddings-web/search-worker.js', { type: 'module' });
        const index = await createIndex({ name, storage, worker });
        let acknowledged = 0;
        const work = (async () => {
          for (let batch = 0; ; batch++) {
            await index.add(Array.from({ length: PER_COMMIT }, (_, i) => documentOf(batch * PER_COMMIT + i, BIG)));
            acknowledged = batch + 1;
            // Every third commit the file is written anew, which is killed as well.
            if (batch % 3 === 2) await index.compact();
          }
        })();
        work.catch(() => undefined);
        // From the first instant on, in steps that grow: each stage of a commit is met by some round.
        await new Promise((resolve) => setTimeout(resolve, 3 + round * 6));
        worker.terminate();
        const counted = acknowledged;
        const again = await createIndex({ name, storage });
        const info = await again.info();
        const ids = (await again.list({ limit: 100_000 })).map(({ id }) => id);
        rounds.push({
          round, acknowledged: counted, found: ids.length / PER_COMMIT,
          whole: ids.every((id, i) => id === `d${i}`), discarded: info.opened?.discardedBytes ?? 0, gone: false,
        });
        // And it goes on from there.
        await again.add(documentOf(1_000_000, BIG));
        if ((await again.count()) !== ids.length + 1) rounds.at(-1)!.gone = true;
        await again.close();
      }
      return rounds;
    }, { storage });
    console.log(`${storage}: commits acknowledged when killed ${rounds.map(({ acknowledged }) => acknowledged).join(' ')}; torn tails ${rounds.filter(({ discarded }) => discarded > 0).length}`);
    for (const { round, acknowledged, found, whole, gone } of rounds) {
      expect(whole, `round ${round}: documents in order`).toBe(true);
      expect(gone, `round ${round}: the next commit`).toBe(false);
      expect(Number.isInteger(found), `round ${round}: ${found} commits, none of them half`).toBe(true);
      // One more may have reached the disk before its call was answered.
      expect(found, `round ${round}`).toBeGreaterThanOrEqual(acknowledged);
      expect(found, `round ${round}`).toBeLessThanOrEqual(acknowledged + 1);
    }
    expect(new Set(rounds.map(({ acknowledged }) => acknowledged)).size, 'killed at different points').toBeGreaterThan(3);
  });

  test(`in ${storage} two tabs write in turns and see each other's commits`, async ({ page, site, context }) => {
    await openSearchLab(page, site);
    const other = await context.newPage();
    await openSearchLab(other, site);
    const open = async (tab: typeof page): Promise<void> => tab.evaluate(async ({ storage }) => {
      const index = await search.createIndex({ name: 'shared', storage });
      const heard: string[] = [];
      index.onChange(({ source }) => heard.push(source));
      Object.assign(globalThis, { index, heard });
    }, { storage });
    await open(page);
    await open(other);
    const add = (tab: typeof page, from: number): Promise<void> => tab.evaluate(async ({ from, DIMENSIONS }) => {
      for (let i = from; i < from + 10; i++) await (globalThis as never as { index: import('../../pkg-config/dist/search/index').SearchIndex }).index.add(search.documentOf(i, DIMENSIONS));
    }, { from, DIMENSIONS });
    await Promise.all([add(page, 0), add(other, 100)]);
    for (const tab of [page, other]) {
      const seen = await tab.evaluate(async () => {
        const { index, heard } = globalThis as never as { index: import('../../pkg-config/dist/search/index').SearchIndex; heard: string[] };
        return { n: await index.count(), hit: (await index.search('number 105', { mode: 'keyword' })).hits[0]?.id, heard: [...new Set(heard)].sort() };
      });
      expect(seen).toEqual({ n: 20, hit: 'd105', heard: ['other', 'own'] });
    }
    const duplicate = await other.evaluate(({ DIMENSIONS }) => search.failure(() => (globalThis as never as { index: import('../../pkg-config/dist/search/index').SearchIndex }).index.add(search.documentOf(5, DIMENSIONS))), { DIMENSIONS });
    expect(duplicate.code).toBe('DUPLICATE_ID');
    await other.close();
  });
}

test('a file in OPFS that is cut anywhere opens as its last whole commit; one that is flipped is refused and can be saved', async ({ page, site }) => {
  await openSearchLab(page, site);
  const outcome = await page.evaluate(async ({ DIMENSIONS }) => {
    const { createIndex, documentOf, folderOf, failure } = search;
    const name = 'cut';
    const index = await createIndex({ name, storage: 'opfs' });
    const sizes: number[] = [];
    for (let i = 0; i < 4; i++) {
      await index.add(documentOf(i, DIMENSIONS));
      sizes.push((await index.info()).fileBytes);
    }
    await index.close();
    const folder = await folderOf(name);
    const names: string[] = [];
    for await (const each of (folder as never as { keys(): AsyncIterable<string> }).keys()) names.push(each);
    const file = await folder.getFileHandle(names.find((each) => each.endsWith('.index'))!);
    const whole = new Uint8Array(await (await file.getFile()).arrayBuffer());
    const put = async (bytes: Uint8Array<ArrayBuffer>): Promise<void> => {
      const writable = await file.createWritable();
      await writable.write(bytes);
      await writable.close();
    };
    const wrong: string[] = [];
    const cuts = [...sizes.flatMap((size) => [size - 1, size, size + 1]), ...Array.from({ length: 25 }, (_, i) => sizes[0]! + Math.floor(((sizes[3]! - sizes[0]!) * i) / 25))].filter((cut) => cut >= sizes[0]! && cut <= sizes[3]!);
    for (const cut of cuts) {
      await put(whole.slice(0, cut));
      const opened = await failure(() => createIndex({ name, storage: 'opfs' }));
      const n = opened.value === undefined ? opened.code : await opened.value.count();
      const expected = sizes.filter((size) => size <= cut).length;
      if (n !== expected) wrong.push(`cut at ${cut}: ${n} instead of ${expected}`);
      await opened.value?.close();
    }
    const flips: Record<string, number> = {};
    for (let i = 0; i < 24; i++) {
      // Within the second commit, so that sound ones follow.
      const at = sizes[0]! + Math.floor(((sizes[1]! - sizes[0]!) * i) / 24);
      const flipped = whole.slice();
      flipped[at]! ^= 1 << (i % 8);
      await put(flipped);
      const opened = await failure(() => createIndex({ name, storage: 'opfs' }));
      const key = opened.code ?? `opened with ${await opened.value!.count()}`;
      flips[key] = (flips[key] ?? 0) + 1;
      await opened.value?.close();
    }
    const saved = await createIndex({ name, storage: 'opfs', recover: true });
    const kept = { ids: (await saved.list()).map(({ id }) => id), damage: (await saved.info()).opened?.damage ?? null };
    await saved.close();
    return { wrong, n_cuts: cuts.length, flips, kept };
  }, { DIMENSIONS });
  expect(outcome.n_cuts).toBeGreaterThan(25);
  expect(outcome.wrong).toEqual([]);
  expect(outcome.flips).toEqual({ INDEX_INVALID: 24 });
  expect(outcome.kept.ids).toEqual(['d0']);
  expect(outcome.kept.damage).toBeTruthy();
});

test('when the storage is full the change is refused with QUOTA, nothing that was committed is lost, and with room it goes on', async ({ page, site }) => {
  await openSearchLab(page, site);
  const session = await page.context().newCDPSession(page);
  const origin = new URL(site).origin;
  const limit = (quotaSize?: number): Promise<unknown> => session.send('Storage.overrideQuotaForOrigin', { origin, ...(quotaSize === undefined ? {} : { quotaSize }) });
  for (const storage of STORAGES) {
    await limit(4_000_000);
    const full = await page.evaluate(async ({ storage }) => {
      const index = await search.createIndex({ name: 'full', storage });
      Object.assign(globalThis, { index });
      let committed = 0;
      for (let batch = 0; batch < 40; batch++) {
        const outcome = await search.failure(() => index.add(Array.from({ length: 100 }, (_, i) => search.documentOf(batch * 100 + i, 1024))));
        if (outcome.code !== undefined) return { code: outcome.code, committed, count: await index.count(), hits: (await index.search('number 7', { mode: 'keyword' })).hits[0]?.id };
        committed += 100;
      }
      return { code: 'none', committed, count: -1, hits: undefined };
    }, { storage });
    expect(full.code, storage).toBe('QUOTA');
    expect(full.committed, storage).toBeGreaterThan(0);
    expect(full.count, storage).toBe(full.committed);
    expect(full.hits).toBe('d7');
    await limit();
    const after = await page.evaluate(async ({ storage }) => {
      const { index } = globalThis as never as { index: import('../../pkg-config/dist/search/index').SearchIndex };
      await index.add(search.documentOf(999_999, 1024));
      const n = await index.count();
      await index.close();
      const again = await search.createIndex({ name: 'full', storage });
      const kept = await again.count();
      await again.clear();
      await again.close();
      return { n, kept };
    }, { storage });
    expect(after, storage).toEqual({ n: full.committed + 1, kept: full.committed + 1 });
  }
});

test('an exported file opens elsewhere, in another storage', async ({ page, site }) => {
  await openSearchLab(page, site);
  const ids = await page.evaluate(async ({ DIMENSIONS }) => {
    const from = await search.createIndex({ name: 'from', storage: 'opfs' });
    await from.add([0, 1, 2].map((i) => search.documentOf(i, DIMENSIONS)));
    await from.delete('d1');
    const file = await from.export();
    await from.add(search.documentOf(3, DIMENSIONS));
    const to = await search.createIndex({ name: 'to', storage: 'indexeddb' });
    await to.import(file);
    await to.close();
    const again = await search.createIndex({ name: 'to', storage: 'indexeddb' });
    return (await again.list()).map(({ id }) => id);
  }, { DIMENSIONS });
  expect(ids).toEqual(['d0', 'd2']);
});

test('in the calling thread, where there are no sync access handles, IndexedDB keeps the index', async ({ page, site }) => {
  const complaints = await openSearchLab(page, site);
  const found = await page.evaluate(async ({ DIMENSIONS }) => {
    const index = await search.createIndex({ name: 'here', worker: false });
    await index.add([0, 1].map((i) => search.documentOf(i, DIMENSIONS)));
    const { storage } = await index.info();
    const refused = await search.failure(() => search.createIndex({ worker: false, storage: 'opfs' }));
    return { storage, refused: refused.code, hit: (await index.search('number 1')).hits[0]?.id };
  }, { DIMENSIONS });
  expect(found).toEqual({ storage: 'indexeddb', refused: 'IO', hit: 'd1' });
  expect(complaints).toEqual([]);
});

test('a worker that cannot be loaded, and a module that is none, are told and leave nothing pending', async ({ page, site }) => {
  await openSearchLab(page, site);
  const codes = await page.evaluate(async () => [
    (await search.failure(() => search.createIndex({ storage: 'memory', worker: '/nowhere.js' }))).code,
    (await search.failure(() => search.createIndex({ storage: 'memory', wasm: new Uint8Array([1, 2, 3]) }))).code,
  ]);
  expect(codes).toEqual(['WORKER_FAILED', 'WASM_INIT']);
});
