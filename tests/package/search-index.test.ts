// The index as a page uses it, on a search module and an embedder of the tests' own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIndex, deleteIndex, type SearchDocument, type SearchIndex } from '../../www/lib/search/index.js';
import { wordVector, FakeDisk, fakeEmbedder, openIndex, searchWorker, DIMENSIONS } from './support/search-fakes.js';

const ANIMALS: SearchDocument[] = [
  { id: 'cat', title: 'Cats', text: 'A cat sleeps all day. It hunts at night.', fields: { legs: 4, lang: 'en', tags: ['pet', 'hunter'] } },
  { id: 'hen', title: 'Hens', text: 'A hen lays eggs.', fields: { legs: 2, lang: 'en', tags: ['farm'] } },
  { id: 'katze', title: 'Katzen', text: 'Eine Katze schläft den ganzen Tag.', fields: { legs: 4, lang: 'de', tags: ['pet'] } },
  { id: 'neko', title: '猫', text: '東京の猫は一日中眠っている。', fields: { legs: 4, lang: 'ja' } },
];

const code = (wanted: string) => (error: unknown): boolean => (error as { code?: string }).code === wanted;
const found = async (index: SearchIndex, ...[query, options]: Parameters<SearchIndex['search']>): Promise<string[]> => (await index.search(query, options)).hits.map(({ id }) => id);

test('a document is found by its words and by its vector, with its passage, title and fields', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  for (const mode of ['vector', 'keyword', 'hybrid'] as const) {
    const { hits, mode: used } = await index.search('a hen lays eggs', { mode });
    assert.equal(used, mode);
    assert.equal(hits[0]?.id, 'hen');
    assert.equal(hits[0].title, 'Hens');
    assert.equal(hits[0].passage.text, 'A hen lays eggs.');
    assert.deepEqual(hits[0].fields, { legs: 2, lang: 'en', tags: ['farm'] });
    assert.equal('vector' in hits[0].scores, mode !== 'keyword');
    assert.equal('keyword' in hits[0].scores, mode !== 'vector');
  }
});

test('hybrid search gives a hit that only its words found its similarity too', async () => {
  const { index } = await openIndex();
  await index.add(Array.from({ length: 60 }, (_, i) => ({ id: `d${i}`, text: i === 0 ? 'zebra' : `zzz filler ${i}` })));
  const { hits } = await index.search('zebra', { k: 1 });
  assert.equal(hits[0]?.id, 'd0');
  assert.ok((hits[0].scores.vector ?? 0) > 0.5);
});

test('the words of the query are marked in passage and title, also in Japanese and without their accents', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  const marked = async (query: string): Promise<string[]> => {
    const { hits } = await index.search(query, { mode: 'keyword' });
    const { passage, title = '', titleHighlights } = hits[0] ?? assert.fail(`nothing found for ${query}`);
    return [...passage.highlights.map(({ start, end }) => passage.text.slice(start, end)), ...titleHighlights.map(({ start, end }) => title.slice(start, end))];
  };
  assert.deepEqual(await marked('cats hunting'), ['Cats']);
  assert.deepEqual(await marked('cat'), ['cat', 'Cats']);
  assert.deepEqual(await marked('SCHLAFT'), ['schläft']);
  assert.deepEqual(await marked('東京'), ['東京']);
  assert.deepEqual(await marked('猫'), ['猫', '猫']);
  assert.deepEqual(await marked('一日中'), ['一日中']);
});

test('a word may be begun only, or misspelt by a letter', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  assert.deepEqual(await found(index, 'slee', { mode: 'keyword' }), ['cat']);
  assert.deepEqual(await found(index, 'slee', { mode: 'keyword', prefix: false }), []);
  assert.deepEqual(await found(index, 'sleeqs', { mode: 'keyword', prefix: false }), ['cat']);
});

test('filters hold in every mode', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  for (const mode of ['vector', 'keyword', 'hybrid'] as const) {
    const only = async (filter: NonNullable<Parameters<SearchIndex['search']>[1]>['filter']): Promise<string[]> => (await found(index, 'cat hen katze 猫', { mode, filter, k: 10 })).sort();
    assert.deepEqual(await only({ lang: 'en' }), ['cat', 'hen']);
    assert.deepEqual(await only({ legs: { gte: 3 }, lang: { in: ['en', 'de'] } }), ['cat', 'katze']);
    assert.deepEqual(await only({ tags: 'pet' }), ['cat', 'katze']);
    assert.deepEqual(await only({ tags: null }), ['neko']);
    assert.deepEqual(await only({ $or: [{ lang: 'ja' }, { legs: { lt: 3 } }] }), ['hen', 'neko']);
    assert.deepEqual(await only({ $not: { lang: 'en' } }), ['katze', 'neko']);
    assert.deepEqual(await only({ lang: { not: 'en' } }), ['katze', 'neko']);
    assert.deepEqual(await only({ $id: { in: ['hen', 'nobody'] } }), ['hen']);
    assert.deepEqual(await only({ $kind: 'image' }), []);
  }
  assert.equal(await index.count({ lang: 'en' }), 2);
  assert.deepEqual((await index.list({ filter: { lang: 'en' }, offset: 1 })).map(({ id }) => id), ['hen']);
  await assert.rejects(index.search('cat', { filter: { legs: { near: 4 } as never } }), code('INPUT_INVALID'));
});

test('a long document is one hit, by its best passage', async () => {
  const { index } = await openIndex({ passages: { maxTokens: 8, overlapTokens: 0 } });
  const text = `${'Nothing of interest here today. '.repeat(30)}A zebra crosses. ${'More of nothing follows now. '.repeat(30)}`;
  await index.add([{ id: 'long', text }, { id: 'short', text: 'nothing' }]);
  const { hits } = await index.search('zebra crosses', { k: 5 });
  assert.deepEqual(hits.map(({ id }) => id), ['long', 'short']);
  const { passage } = hits[0] ?? assert.fail();
  assert.match(passage.text, /zebra/);
  assert.equal(text.slice(passage.start, passage.end), passage.text);
  assert.deepEqual(await found(index, 'nothing', { k: 2 }), ['short', 'long']);
});

test('adding is all or none: a document that is there, twice given, unreadable or malformed changes nothing', async () => {
  const { index, embedder } = await openIndex();
  await index.add(ANIMALS[0] as SearchDocument);
  const embedded = embedder.calls.length;
  const fresh = { id: 'new', text: 'new' };
  await assert.rejects(index.add([fresh, { id: 'cat', text: 'x' }]), code('DUPLICATE_ID'));
  await assert.rejects(index.add([fresh, fresh]), code('DUPLICATE_ID'));
  assert.equal(embedder.calls.length, embedded, 'nothing is embedded for that');
  await assert.rejects(index.add([fresh, { id: 'b', text: 'this is unreadable' }]), (error: Error) => code('INPUT_INVALID')(error) && /document "b", passage 0/.test(error.message));
  for (const bad of [{ id: '', text: 'x' }, { id: 'x' }, { id: 'x', text: 'a', html: 'b' }, { id: 'x', text: ' ' }, { id: 'x', text: 'a', fields: { _a: 1 } }, { id: 'x', text: 'a', fields: { a: NaN } }, { id: 'x', passages: [] }, { id: 'é'.repeat(500), text: 'x' }]) {
    await assert.rejects(index.add([fresh, bad as never]), code('INPUT_INVALID'), JSON.stringify(bad));
  }
  assert.deepEqual((await index.list()).map(({ id }) => id), ['cat']);
});

test('what has not changed is not embedded again, and new fields alone cost no embedding', async () => {
  const { index, embedder } = await openIndex();
  await index.update(ANIMALS);
  const n = embedder.calls.length;
  await index.update(ANIMALS);
  assert.equal(embedder.calls.length, n);
  await index.update({ ...(ANIMALS[0] as SearchDocument), title: 'Felines', fields: { legs: 5 } } as SearchDocument);
  assert.equal(embedder.calls.length, n);
  assert.deepEqual((await index.get('cat'))?.fields, { legs: 5 });
  assert.deepEqual(await found(index, 'felines', { mode: 'keyword' }), ['cat']);
  assert.deepEqual(await found(index, 'cats', { mode: 'keyword', prefix: false }), []);
  await index.update({ id: 'cat', text: 'Entirely different.' });
  assert.equal(embedder.calls.length, n + 1);
  assert.deepEqual((await index.get('cat'))?.passages.map(({ text }) => text), ['Entirely different.']);
  assert.deepEqual(await found(index, 'sleeps', { mode: 'keyword' }), []);
});

test('a document that becomes shorter loses its last passages', async () => {
  const { index } = await openIndex({ passages: { maxTokens: 6, overlapTokens: 0 } });
  await index.add({ id: 'a', text: 'One apple fell. Two pears fell. Three plums fell.' });
  assert.equal((await index.get('a'))?.passages.length, 3);
  await index.update({ id: 'a', text: 'One apple fell.' });
  assert.equal((await index.get('a'))?.passages.length, 1);
  assert.equal((await index.info()).passages, 1);
  assert.deepEqual(await found(index, 'plums', { mode: 'keyword' }), []);
});

test('deleted documents are gone from every ranking, and the count says how many there were', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  await index.search('cat');
  assert.equal(await index.delete(['cat', 'nobody', 'cat']), 1);
  for (const mode of ['vector', 'keyword', 'hybrid'] as const) assert.ok(!(await found(index, 'cat', { mode })).includes('cat'));
  assert.equal(await index.get('cat'), undefined);
  assert.equal(await index.count(), 3);
});

test('the next index on the same disk has everything, and embeds nothing for it', async () => {
  const { index, disk } = await openIndex();
  await index.add(ANIMALS);
  await index.delete('hen');
  await index.close();
  const again = await openIndex({ disk });
  assert.deepEqual((await again.index.list()).map(({ id }) => id), ['cat', 'katze', 'neko']);
  assert.deepEqual(await found(again.index, 'katze', { mode: 'keyword' }), ['katze']);
  assert.equal(again.embedder.calls.length, 0);
});

test('vectors of another space are refused, as documents and as queries, and nothing is lost', async () => {
  const { index, disk } = await openIndex();
  await index.add(ANIMALS);
  await index.close();
  const other = await openIndex({ disk, embedder: fakeEmbedder('other/q4_0') });
  await assert.rejects(other.index.add({ id: 'x', text: 'x' }), code('SPACE_MISMATCH'));
  await assert.rejects(other.index.search('cat'), code('SPACE_MISMATCH'));
  assert.deepEqual(await found(other.index, 'cat', { mode: 'keyword' }), ['cat']);
  assert.equal(await other.index.count(), 4);
  await other.index.clear();
  await other.index.add({ id: 'x', text: 'x' });
  assert.deepEqual(await found(other.index, 'x'), ['x']);
});

test('vectors of a close space are taken where the caller says so, and those of others never', async () => {
  const { index, disk } = await openIndex({ embedder: fakeEmbedder('jina-embeddings-v4/q4_0/q8_0/abc') });
  await index.add(ANIMALS);
  await index.close();
  const hosted = fakeEmbedder('hosted/jina-embeddings-v4');
  const strict = await openIndex({ disk, embedder: hosted });
  await assert.rejects(strict.index.search('cat'), code('SPACE_MISMATCH'));
  const lenient = await openIndex({ disk, embedder: hosted, acceptClose: true });
  assert.equal((await found(lenient.index, 'A hen lays eggs', { mode: 'vector' }))[0], 'hen');
  await lenient.index.add({ id: 'x', text: 'x' });
  assert.match((await lenient.index.info()).space ?? '', /^jina-embeddings-v4\/q4_0/);
  const other = await openIndex({ disk, embedder: fakeEmbedder('hosted/jina-embeddings-v3'), acceptClose: true });
  await assert.rejects(other.index.search('cat'), code('SPACE_MISMATCH'));
});

test('vectors of the caller are taken as they are; wrong lengths and values that are no numbers are refused', async () => {
  const { index } = await openIndex();
  const space = 'mine/mean';
  const of = (word: string): Float32Array => wordVector(word, DIMENSIONS);
  await index.add([{ id: 'a', space, passages: [{ text: 'alpha', vector: of('alpha') }, { text: 'beta', vector: of('beta') }] }, { id: 'c', kind: 'image', space, passages: [{ vector: of('gamma') }] }]);
  const { hits } = await index.search({ vector: of('beta'), space });
  assert.equal(hits[0]?.id, 'a');
  assert.equal(hits[0].passage.index, 1);
  assert.ok(Math.abs(hits[0].score - 1) < 1e-6);
  await assert.rejects(index.add({ id: 'x', space, passages: [{ vector: new Float32Array(3) }] }), code('INPUT_INVALID'));
  await assert.rejects(index.add({ id: 'x', space, passages: [{ vector: new Float32Array(DIMENSIONS).fill(NaN) }] }), code('INPUT_INVALID'));
  await assert.rejects(index.search({ vector: new Float32Array(3), space }), code('INPUT_INVALID'));
  await assert.rejects(index.search({ vector: of('beta'), space: 'another' }), code('SPACE_MISMATCH'));
  assert.equal(await index.count(), 2);
});

test('without an embedder texts are searched by keyword, and what needs one says so', async () => {
  const index = await createIndex({ worker: false, storage: 'memory' });
  await index.add({ id: 'a', space: 's', passages: [{ text: 'alpha', vector: new Float32Array([1, 0]) }] });
  const { mode, hits } = await index.search('alpha');
  assert.equal(mode, 'keyword');
  assert.equal(hits[0]?.id, 'a');
  await assert.rejects(index.search('alpha', { mode: 'vector' }), code('INPUT_INVALID'));
  await assert.rejects(index.add({ id: 'b', text: 'b' }), code('INPUT_INVALID'));
  await index.close();
  await assert.rejects(index.search('alpha'), code('DISPOSED'));
});

test('with multi-vectors a search ranks by MaxSim, and explains each word', async () => {
  const { index, embedder } = await openIndex({ multivector: true });
  await index.add(ANIMALS);
  const { hits } = await index.search('hen eggs', { mode: 'vector' });
  assert.equal(hits[0]?.id, 'hen');
  assert.ok(Math.abs(hits[0].score - 3) < 1e-5, 'each of three tokens, the prefix among them, has its like');
  // The words of "A hen lays eggs.": passage a hen lays eggs. The fake prefix is one token, as is each word.
  embedder.calls.length = 0;
  const { words, grid } = await index.explain('hen', 'eggs hen');
  assert.deepEqual(words.map(({ text }) => text), ['eggs', 'hen']);
  assert.equal(grid, undefined);
  const best = words.map(({ scores }) => scores.indexOf(Math.max(...scores)));
  assert.equal(words[0]?.scores.length, 5);
  assert.deepEqual(best, [4, 2]);
  await assert.rejects(index.explain('nobody', 'hen'), code('INPUT_INVALID'));
  const given = await index.explain('anything', 'eggs hen', { content: { text: 'A hen lays eggs.' } });
  assert.deepEqual(given.words.map(({ scores }) => scores.indexOf(Math.max(...scores))), [4, 2]);
});

test('late chunking embeds the passages of a document together, and does not repeat text', async () => {
  const { index, embedder } = await openIndex({ lateChunking: true, passages: { maxTokens: 6, overlapTokens: 4 } });
  await index.add({ id: 'a', text: 'One apple fell. Two pears fell. Three plums fell.' });
  assert.deepEqual(embedder.calls.map(({ options, inputs }) => [options.lateChunking, inputs.length]), [[true, 3]]);
  await assert.rejects(index.add({ id: 'b', text: 'One apple fell. This is unreadable text.' }), code('INPUT_INVALID'));
  assert.equal(await index.count(), 1);
});

test('HTML and Markdown are searched by what a reader sees', async () => {
  const { index } = await openIndex();
  await index.add([
    { id: 'h', html: '<html lang="en"><head><title>On bees</title><style>.zebra{}</style></head><body><script>zebra()</script><h1>Bees</h1><p>They make <b>hon</b>ey &amp; wax.</p></body>' },
    { id: 'm', markdown: '---\ntitle: On ants\n---\n# Ants\n\nThey build **nests** of `sand`.\n\n- small\n- strong\n\n| a | b |\n|---|---|\n| x | y |\n' },
  ]);
  const [h, m] = [await index.get('h'), await index.get('m')];
  assert.equal(h?.title, 'On bees');
  assert.deepEqual(h.passages.map(({ text }) => text), ['Bees\n\nThey make honey & wax.']);
  assert.equal(m?.title, 'On ants');
  assert.deepEqual(m.passages.map(({ text }) => text), ['Ants\n\nThey build nests of sand.\n\nsmall\nstrong\n\na b\nx y']);
  assert.deepEqual(await found(index, 'zebra', { mode: 'keyword' }), []);
});

test('pictures and texts are in one index, and a picture is found by its caption and by itself', async () => {
  const { index } = await openIndex();
  const png = Uint8Array.from([137, 80, 78, 71, 1, 2, 3]);
  await index.add([...ANIMALS, { id: 'p', image: png, caption: 'a red bicycle', title: 'Bicycle' }]);
  const { hits } = await index.search('bicycle');
  assert.equal(hits[0]?.id, 'p');
  assert.equal(hits[0].kind, 'image');
  const bySelf = await index.search({ image: png });
  assert.equal(bySelf.mode, 'vector');
  assert.equal(bySelf.hits[0]?.id, 'p');
  assert.deepEqual(await found(index, { image: png }, { filter: { $kind: 'image' } }), ['p']);
  await assert.rejects(index.search({ image: png }, { mode: 'hybrid' }), code('INPUT_INVALID'));
});

test('the same query is embedded once', async () => {
  const { index, embedder } = await openIndex();
  await index.add(ANIMALS);
  const n = embedder.calls.length;
  await index.search('cat');
  await index.search({ text: 'cat' }, { k: 1 });
  assert.equal(embedder.calls.length, n + 1);
});

test('a search that is cancelled rejects with an AbortError, and the next one works', async () => {
  const { index, embedder } = await openIndex();
  await index.add(ANIMALS);
  const controller = new AbortController();
  embedder.before = () => controller.abort();
  await assert.rejects(index.search('cat', { signal: controller.signal }), { name: 'AbortError' });
  embedder.before = () => undefined;
  assert.equal((await found(index, 'cat'))[0], 'cat');
});

test('bad options are refused by name', async () => {
  for (const bad of [{ storage: 'disk' }, { name: '' }, { dimensions: 1.5 }, { embedder: {} }, { task: 'x' }, { lateChunking: true, multivector: true }, { passages: { maxTokens: 0 } }]) {
    await assert.rejects(createIndex({ worker: false, ...bad } as never), (error: Error) => code('INPUT_INVALID')(error) && error.message.includes(Object.keys(bad)[0] ?? ''), JSON.stringify(bad));
  }
  const { index } = await openIndex();
  for (const bad of [{ k: 0 }, { k: 2.5 }, { mode: 'fast' }, { weights: { vector: -1 } }, { candidates: 0 }]) await assert.rejects(index.search('x', bad as never), code('INPUT_INVALID'), JSON.stringify(bad));
  await assert.rejects(index.search(7 as never), code('INPUT_INVALID'));
});

test('a full disk refuses the change with QUOTA; what was committed is there, and there is room again after deleting', async () => {
  const { index, disk } = await openIndex();
  await index.add(ANIMALS.slice(0, 2));
  disk.capacity = disk.file?.length ?? 0;
  await assert.rejects(index.add(ANIMALS.slice(2)), code('QUOTA'));
  assert.deepEqual((await index.list()).map(({ id }) => id), ['cat', 'hen']);
  assert.deepEqual(await found(index, 'katze', { mode: 'keyword' }), []);
  disk.capacity = Infinity;
  await index.add(ANIMALS.slice(2));
  assert.equal(await index.count(), 4);
  await index.close();
  assert.equal(await (await openIndex({ disk })).index.count(), 4);
});

test('the file is rewritten when most of it is waste', async () => {
  const { index, disk } = await openIndex();
  const space = 's';
  const document = (i: number, x: number): SearchDocument => ({ id: `d${i}`, space, passages: [{ vector: new Float32Array([1, x]) }] });
  await index.add(Array.from({ length: 200 }, (_, i) => document(i, 0)));
  const grown = disk.file?.length ?? 0;
  for (let x = 1; x < 4; x++) await index.update(Array.from({ length: 200 }, (_, i) => document(i, x)));
  assert.ok((disk.file?.length ?? 0) < 2 * grown, 'four generations of vectors are not all there');
  await index.close();
  assert.equal(await (await openIndex({ disk })).index.count(), 200);
});

test('an export imports elsewhere, and a damaged one changes nothing', async () => {
  const { index } = await openIndex();
  await index.add(ANIMALS);
  const file = await index.export();
  const other = await openIndex();
  await other.index.add({ id: 'old', text: 'old' });
  await assert.rejects(other.index.import(new Blob(['no index'])), code('INDEX_INVALID'));
  assert.equal(await other.index.count(), 1);
  await other.index.import(file);
  assert.deepEqual((await other.index.list()).map(({ id }) => id), ['cat', 'hen', 'katze', 'neko']);
  await other.index.close();
  assert.equal(await (await openIndex({ disk: other.disk })).index.count(), 4);
});

test('what another tab commits is seen, and both may write', async () => {
  const disk = new FakeDisk();
  const [a, b] = [await openIndex({ disk, name: 'shared' }), await openIndex({ disk, name: 'shared' })];
  const heard = new Promise((resolve) => b.index.onChange(({ source }) => resolve(source)));
  await a.index.add(ANIMALS.slice(0, 2));
  assert.equal(await heard, 'other');
  assert.deepEqual(await found(b.index, 'eggs', { mode: 'keyword' }), ['hen']);
  await b.index.add(ANIMALS.slice(2));
  await assert.rejects(a.index.add(ANIMALS.slice(3)), code('DUPLICATE_ID'));
  assert.equal(await a.index.count(), 4);
  await Promise.all([a.index.delete('cat'), b.index.delete('hen')]);
  assert.equal(await (await openIndex({ disk })).index.count(), 2);
});

test('a file that is damaged is refused, and opened up to the damage where the caller says so', async () => {
  const { index, disk } = await openIndex();
  await index.add(ANIMALS.slice(0, 1));
  const sound = disk.file?.length ?? 0;
  await index.add(ANIMALS.slice(1, 2));
  await index.add(ANIMALS.slice(2, 3));
  await index.close();
  const file = disk.file ?? assert.fail();
  file[sound + 40] = (file[sound + 40] ?? 0) ^ 1;
  await assert.rejects(openIndex({ disk }), code('INDEX_INVALID'));
  const saved = await openIndex({ disk, recover: true });
  assert.deepEqual((await saved.index.list()).map(({ id }) => id), ['cat']);
  assert.ok((await saved.index.info()).opened?.damage);
  await deleteIndex({ worker: searchWorker(disk) });
  assert.equal(await (await openIndex({ disk })).index.count(), 0);
});

test('a file cut anywhere after a commit opens as that commit, and takes the next one', async () => {
  const { index, disk } = await openIndex();
  await index.add(ANIMALS.slice(0, 1));
  const first = disk.file?.length ?? 0;
  await index.add(ANIMALS.slice(1));
  await index.close();
  const whole = disk.file ?? assert.fail();
  for (let cut = first; cut <= whole.length; cut += 97) {
    const torn = new FakeDisk();
    torn.file = whole.slice(0, cut);
    torn.generation = 1;
    const opened = await openIndex({ disk: torn });
    assert.equal(await opened.index.count(), cut === whole.length ? 4 : 1, `cut at ${cut}`);
    await opened.index.add({ id: 'more', text: 'more' });
    await opened.index.close();
    assert.equal(await (await openIndex({ disk: torn })).index.count(), cut === whole.length ? 5 : 2);
  }
});

test('random changes, through reopenings, full disks and compactions, leave what a map of them holds', async () => {
  let state = 42;
  const random = (n: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n;
  const disk = new FakeDisk();
  let { index } = await openIndex({ disk, passages: { maxTokens: 6, overlapTokens: 0 } });
  const held = new Map<string, { text: string; n: number }>();
  for (let step = 0; step < 250; step++) {
    const id = `d${random(12)}`;
    const document = { text: Array.from({ length: 1 + random(4) }, (_, i) => `Word${random(40)} and number${i} here.`).join(' '), n: random(5) };
    const whole = { id, text: document.text, fields: { n: document.n } };
    const full = random(12) === 0;
    if (full) disk.capacity = disk.file?.length ?? 0;
    try {
      switch (random(6)) {
        case 0:
          await index.add(whole);
          assert.ok(!held.has(id), `step ${step}: added twice`);
          held.set(id, document);
          break;
        case 1:
        case 2:
          await index.update(whole);
          held.set(id, document);
          break;
        case 3:
          assert.equal(await index.delete(id), held.has(id) ? 1 : 0);
          held.delete(id);
          break;
        case 4:
          await index.close();
          disk.capacity = Infinity;
          ({ index } = await openIndex({ disk, passages: { maxTokens: 6, overlapTokens: 0 } }));
          break;
        case 5:
          if (!full) await index.compact();
          break;
      }
    } catch (error) {
      const found = (error as { code?: string }).code;
      assert.ok(found === 'DUPLICATE_ID' ? held.has(id) : found === 'QUOTA' && full, `step ${step}: ${String(error)}`);
    }
    disk.capacity = Infinity;
    if (step % 10 !== 0) continue;
    const list = await index.list();
    assert.deepEqual(Object.fromEntries(list.map((each) => [each.id, [each.passages.map(({ text }) => text).join(' '), each.fields['n']]])), Object.fromEntries([...held].map(([key, { text, n }]) => [key, [text, n]])));
    for (const [key, { text }] of held) {
      const word = text.split(' ')[0] ?? '';
      const expected = [...held].filter(([, other]) => other.text.toLowerCase().split(/[ .]+/).includes(word.toLowerCase())).map(([other]) => other).sort();
      const { hits } = await index.search(word, { mode: 'keyword', prefix: false, k: 50 });
      const exact = hits.filter(({ passage }) => passage.text.toLowerCase().split(/[ .]+/).includes(word.toLowerCase())).map((hit) => hit.id).sort();
      assert.deepEqual(exact, expected, `step ${step}: ${word} of ${key}`);
    }
  }
});
