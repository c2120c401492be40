// The parts of the search by themselves: passages, words, fusion, filters, exports.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { QdrantClient } from '@qdrant/js-client-rest';
import { EmbedderError } from '../../www/lib/errors.js';
import { highlights, KeywordIndex, terms } from '../../www/lib/search/engine/keyword.js';
import { compileFilter } from '../../www/lib/search/filter.js';
import { htmlToText } from '../../www/lib/search/formats/html.js';
import { markdownToText } from '../../www/lib/search/formats/markdown.js';
import { RANK_CONSTANT, reciprocalRankFusion } from '../../www/lib/search/fusion.js';
import { canonical, hashOf } from '../../www/lib/search/hash.js';
import { estimateTokens, splitPassages, toNpy } from '../../www/lib/search/index.js';
import { storageError } from '../../www/lib/search/store/store.js';
import { openIndex } from './support/search-fakes.js';

const words = (text: string): number => text.split(/\s+/).filter(Boolean).length;

test('passages are whole sentences within the limit, and each begins with the end of the one before', () => {
  const sentences = Array.from({ length: 20 }, (_, i) => `This is sentence ${i} of twenty.`);
  const text = sentences.join(' ');
  const passages = splitPassages(text, { maxTokens: 20, overlapTokens: 7, countTokens: words });
  assert.ok(passages.length > 5);
  for (const { text: part, start, end } of passages) {
    assert.equal(text.slice(start, end), part);
    assert.ok(words(part) <= 20);
    assert.match(part, /^This .*twenty\.$/);
  }
  for (let i = 1; i < passages.length; i++) assert.ok((passages[i]?.start ?? 0) < (passages[i - 1]?.end ?? 0), `passage ${i} overlaps`);
  for (const sentence of sentences) assert.ok(passages.some(({ text: part }) => part.includes(sentence)), sentence);
});

test('without overlap the passages are the text, cut into pieces', () => {
  const text = Array.from({ length: 50 }, (_, i) => `Sentence ${i}.`).join(' ');
  const passages = splitPassages(text, { maxTokens: 9, overlapTokens: 0, countTokens: words });
  assert.equal(passages.map(({ text: part }) => part).join(' '), text);
});

test('a sentence or a word that is too long is cut between words, then between characters', () => {
  const long = splitPassages('one two three four five six seven', { maxTokens: 3, overlapTokens: 0, countTokens: words });
  assert.deepEqual(long.map(({ text }) => text), ['one two three', 'four five six', 'seven']);
  const family = '👨‍👩‍👧‍👦'.repeat(6);
  const cut = splitPassages(family, { maxTokens: 22, overlapTokens: 0, countTokens: (text) => text.length });
  assert.equal(cut.map(({ text }) => text).join(''), family);
  assert.ok(cut.every(({ text }) => text.length % 11 === 0), 'no character is torn');
});

test('no passage crosses a break, however little it holds', () => {
  assert.deepEqual(splitPassages('One. Two. Three.', {}, [5, 10]).map(({ text }) => text), ['One.', 'Two.', 'Three.']);
  assert.deepEqual(splitPassages(' \n ', {}), []);
});

test('sentences of Chinese and Japanese are cut where they end', () => {
  const text = '東京の猫は眠っている。犬は走る。「本当？」と言った。';
  assert.deepEqual(splitPassages(text, { maxTokens: 14, overlapTokens: 0, locale: 'ja' }).map(({ text: part }) => part), ['東京の猫は眠っている。', '犬は走る。「本当？」と言った。']);
});

test('random texts and limits: passages are in order, within the limit, and lose no word', () => {
  let state = 1;
  const random = (n: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n;
  for (let round = 0; round < 300; round++) {
    const text = Array.from({ length: random(120) }, (_, i) => `w${i}${random(6) === 0 ? '. ' : random(20) === 0 ? '\n\n' : ' '}`).join('');
    const maxTokens = 1 + random(15);
    const passages = splitPassages(text, { maxTokens, overlapTokens: random(10), countTokens: words });
    for (const { text: part } of passages) assert.ok(words(part) <= maxTokens);
    for (let i = 1; i < passages.length; i++) assert.ok((passages[i]?.end ?? 0) > (passages[i - 1]?.end ?? 0));
    const kept = new Set(passages.flatMap(({ text: part }) => part.split(/\s+/)));
    for (const word of text.split(/\s+/).filter(Boolean)) assert.ok(kept.has(word), `${word} of ${JSON.stringify(text)}`);
  }
});

test('token counts are estimated for spaced and unspaced scripts', () => {
  assert.equal(estimateTokens(''), 0);
  assert.equal(estimateTokens('a cat'), 2);
  assert.equal(estimateTokens('猫が眠る'), 4);
  assert.ok(estimateTokens('Donaudampfschifffahrt') >= 5);
});

test('words are found whatever their case, accents, width or script', () => {
  const index = new KeywordIndex();
  const put = (id: string, text: string): void => index.put([{ id, title: '', text, more: '' }]);
  put('fr', 'Un Café crème');
  put('ja', '東京都庁へ行く');
  put('zh', '我喜欢吃苹果');
  put('ko', '서울에서 만나요');
  put('th', 'ฉันรักแมวมาก');
  put('wide', 'ＡＢＣ１２３');
  const first = (query: string): string | undefined => index.search(query, { prefix: false })[0]?.id;
  assert.equal(first('cafe creme'), 'fr');
  assert.equal(first('京都'), 'ja');
  assert.equal(first('東京'), 'ja');
  assert.equal(first('苹果'), 'zh');
  assert.equal(first('서울'), 'ko');
  assert.equal(first('แมว'), 'th');
  assert.equal(first('abc123'), 'wide');
  put('a', 'a b a b');
  assert.deepEqual(index.search('a cafe', { prefix: false }).map(({ id }) => id), ['fr']);
  assert.equal(first('a'), 'a');
  index.remove(['a']);
  put('file', 'sleeping_dog.jpg');
  assert.equal(first('dog'), 'file');
  assert.equal(first('sleeping_dog.jpg'), 'file');
  index.remove(['fr', 'nobody', 'file']);
  assert.equal(first('cafe'), undefined);
  assert.equal(index.size, 5);
});

test('words of spaced scripts are those of Intl.Segmenter', () => {
  for (const text of ['It\'s a dog’s life, isn\'t it? e.g. 3.14 and sleeping_cat.jpg (c) 2026.', 'Ελληνικά, русский язык; עברית. العربية حلوة!', 'naïve co-operation — “quoted”…']) {
    const segmented = [...new Intl.Segmenter(undefined, { granularity: 'word' }).segment(text)].filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment);
    const whole = terms(text).map(({ start, end }) => text.slice(start, end));
    for (const word of segmented) assert.ok(whole.includes(word), `${word} of ${text}`);
  }
});

test('highlights that touch are one', () => {
  const text = '東京都庁';
  assert.deepEqual(highlights(text, new Set(terms(text).map(({ term }) => term)), ['東京都庁']), [{ start: 0, end: 4 }]);
});

test('fusion adds the reciprocals of the places', () => {
  const fused = reciprocalRankFusion([{ keys: ['a', 'b', 'c'], weight: 1 }, { keys: ['c', 'd'], weight: 2 }]);
  assert.deepEqual(fused.map(({ key, ranks }) => [key, ...ranks]), [['c', 3, 1], ['d', undefined, 2], ['a', 1, undefined], ['b', 2, undefined]]);
  assert.equal(fused[0]?.score, 1 / (RANK_CONSTANT + 3) + 2 / (RANK_CONSTANT + 1));
});

test('filters become those of the index', () => {
  assert.deepEqual(compileFilter({ a: 1 }), { field: 'a', equals: 1 });
  assert.deepEqual(compileFilter({ a: null, b: { gte: 1, lt: 2 } }), { and: [{ field: 'a', equals: null }, { field: 'b', gte: 1, lt: 2 }] });
  assert.deepEqual(compileFilter({}), { and: [] });
  for (const bad of [{ _text: 'x' }, { $any: [] }, { a: { gte: true } }, { a: [] }, { $or: {} }, { a: {} }, []]) assert.throws(() => compileFilter(bad as never), { code: 'INPUT_INVALID' }, JSON.stringify(bad));
});

test('HTML that is broken, hidden or hostile is read as a browser shows it', () => {
  const text = (html: string): string => htmlToText(html).text;
  assert.equal(text('<p>one<p>two<br>three <i>four</i>five'), 'one\n\ntwo\nthree fourfive');
  assert.equal(text('<div hidden>no</div><div aria-hidden="true"><p>no</p></div>yes'), 'yes');
  assert.equal(text('a &lt;b&gt; &eacute; &#x1F600; <img alt="a cat" src=x>'), 'a <b> é 😀 a cat');
  assert.equal(text('<pre>a\n  b</pre>'), 'a\n  b');
  assert.equal(text('<ul><li>one<li>two</ul><table><tr><td>a<td>b<tr><td>c</table>'), 'one\ntwo\n\na b\nc');
  assert.equal(text('<<<>>>'), '<<<>>>');
  assert.deepEqual(htmlToText('<h2>A</h2>x<h2>B</h2>y'), { text: 'A\n\nx\n\nB\n\ny', breaks: [0, 6], title: 'A' });
});

test('Markdown is read as a reader sees it', () => {
  assert.deepEqual(markdownToText('# A *b*\n\nSee [the site](http://x.y) & ![a cat](cat.png).\n\n```js\nlet x = 1;\n```\n\n> quoted\n\n1. one\n   - inner\n2. two\n'), {
    text: 'A b\n\nSee the site & a cat.\n\nlet x = 1;\n\nquoted\n\none\n\ninner\n\ntwo', breaks: [0], title: 'A b',
  });
  assert.equal(markdownToText('a<br>b <b>c</b>\n\n<div>raw <em>html</em></div>').text, 'ab c\n\nraw html');
  assert.equal(markdownToText('just text').text, 'just text');
});

test('hashes tell the parts apart, and keys come in any order', async () => {
  assert.notEqual(await hashOf('ab', 'c'), await hashOf('a', 'bc'));
  assert.equal(canonical({ b: 1, a: { d: 1, c: 2 } }), canonical({ a: { c: 2, d: 1 }, b: 1 }));
  assert.match(await hashOf('x'), /^[0-9a-f]{64}$/);
});

test('a full storage is told from a broken one', () => {
  assert.equal(storageError('Writing', new DOMException('x', 'QuotaExceededError')).code, 'QUOTA');
  assert.equal(storageError('Writing', new Error('x')).code, 'IO');
  const own = new EmbedderError('INDEX_INVALID', 'x');
  assert.equal(storageError('Reading', own), own);
});

test('a .npy file has the bytes that the format asks for', () => {
  const file = toNpy(Float32Array.from([1, -2.5, 3, 4, 5, 6]), [2, 3]);
  assert.deepEqual([...file.subarray(0, 8)], [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  const view = new DataView(file.buffer);
  const headerBytes = view.getUint16(8, true);
  assert.equal((10 + headerBytes) % 64, 0);
  const header = new TextDecoder().decode(file.subarray(10, 10 + headerBytes));
  assert.match(header, /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
  assert.deepEqual(Array.from({ length: 6 }, (_, i) => view.getFloat32(10 + headerBytes + 4 * i, true)), [1, -2.5, 3, 4, 5, 6]);
  assert.equal(file.length, 10 + headerBytes + 24);
  assert.throws(() => toNpy(new Float32Array(5), [2, 3]), RangeError);
});

/** Where NumPy is installed, it reads the file; the format is checked above in any case. */
const hasNumpy = spawnSync('python3', ['-c', 'import numpy']).status === 0;

test('the exported arrays and their rows belong together', async () => {
  const { index } = await openIndex({ multivector: true, dimensions: 8 });
  await index.add([{ id: 'a', text: 'one two', fields: { n: 1 } }, { id: 'b', text: 'three' }]);
  const { vectors, multivectors, rows } = await index.exportNpy();
  assert.deepEqual(rows.map(({ id, text, fields }) => [id, text, fields]), [['a', 'one two', { n: 1 }], ['b', 'three', {}]]);
  assert.ok(vectors !== undefined && multivectors !== undefined);
  if (!hasNumpy) return;
  const folder = mkdtempSync(join(tmpdir(), 'npy-'));
  try {
    writeFileSync(join(folder, 'v.npy'), vectors);
    writeFileSync(join(folder, 'm.npy'), multivectors.values);
    writeFileSync(join(folder, 'o.npy'), multivectors.offsets);
    const script = 'import numpy as n\nv,m,o=(n.load(x+".npy") for x in "vmo")\nprint(v.shape,v.dtype,m.shape,o.tolist(),o.dtype,n.allclose((v*v).sum(1),1,atol=1e-5))';
    assert.equal(execFileSync('python3', ['-c', script], { cwd: folder, encoding: 'utf8' }).trim(), '(2, 8) float32 (5, 16) [0, 3, 5] int64 True');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the Qdrant client sends the exported collection and points as they are', async () => {
  const { index } = await openIndex({ multivector: true, dimensions: 8 });
  await index.add([{ id: 'a', title: 'A', text: 'one two', fields: { n: 1, tags: ['x'] } }, { id: 'b', text: 'three' }, { id: 'c', text: 'four' }]);
  const received: { method: string | undefined; url: string | undefined; body: unknown }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push({ method: request.method, url: request.url, body: body === '' ? undefined : JSON.parse(body) });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ result: { status: 'completed', operation_id: 1 }, status: 'ok', time: 0 }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const client = new QdrantClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, checkCompatibility: false });
    const { collection, batches } = await index.exportQdrant({ batchSize: 2 });
    // The client's own types check both.
    await client.createCollection('notes', collection satisfies Parameters<QdrantClient['createCollection']>[1]);
    for await (const batch of batches) await client.upsert('notes', batch satisfies Parameters<QdrantClient['upsert']>[1]);
  } finally {
    server.close();
  }
  const [created, first, second] = received;
  assert.deepEqual(created?.body, {
    vectors: { dense: { size: 8, distance: 'Cosine' }, tokens: { size: 16, distance: 'Cosine', multivector_config: { comparator: 'max_sim' }, hnsw_config: { m: 0 } } },
  });
  assert.match(`${first?.method} ${first?.url}`, /^PUT \/collections\/notes\/points\?.*wait=true/);
  const points = [first, second].flatMap((each) => (each?.body as { points: { id: string; vector: { dense: number[]; tokens: number[][] }; payload: Record<string, unknown> }[] }).points);
  assert.equal(points.length, 3);
  assert.equal(new Set(points.map(({ id }) => id)).size, 3);
  for (const { id } of points) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(points[0]?.payload, { n: 1, tags: ['x'], _document: 'a', _passage: 0, _text: 'one two', _title: 'A' });
  assert.equal(points[0]?.vector.dense.length, 8);
  assert.deepEqual(points[0]?.vector.tokens.map(({ length }) => length), [16, 16, 16]);
});
