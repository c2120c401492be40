// `jina-embeddings-web/edge` in Node, over the WebAssembly module that is shipped.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ROOT } from '../consumers/support.mjs';
import { bagOfWords, fixture } from './app.mjs';

const { createEdge, createEmbedder, isEmbedderError } = await import(pathToFileURL(join(ROOT, 'pkg-config/dist/edge-node.js')).href);
const SPACE = 'hosted/test';
const vector = (text) => Float32Array.from(bagOfWords(text, 64));
const throwsCode = (run, code, message = /./) => assert.throws(run, (error) => isEmbedderError(error) && error.code === code && message.test(error.message));

let edge;
before(async () => { edge = await createEdge(); });

const filled = () => {
  const index = edge.createIndex({ dimensions: 64, space: SPACE });
  index.add({ ids: ['a', 'b'], vectors: [vector('one two'), vector('three four')], space: SPACE, fields: [{ n: 0.1 + 0.2, tags: ['x', 'y'] }, null] });
  return index;
};

describe('an index', () => {
  test('finds, lists and removes what was added, with its fields', () => {
    const index = filled();
    const [hit] = index.search({ vector: vector('two'), space: SPACE });
    // To the last bit.
    assert.deepEqual([hit.id, hit.fields], ['a', { n: 0.1 + 0.2, tags: ['x', 'y'] }]);
    assert.deepEqual(index.get('a').vector, vector('one two'));
    assert.deepEqual(index.search({ vector: vector('two'), space: SPACE, filter: { field: 'n', equals: null } }).map(({ id }) => id), ['b']);
    assert.equal(index.removeWhere({ field: 'tags', in: ['y'] }), 1);
    assert.deepEqual([index.size, index.get('a')], [1, undefined]);
    index.free();
  });

  test('agrees with a loop in plain JavaScript, whatever its first stage', () => {
    const texts = Array.from({ length: 300 }, (_, i) => `word${i % 17} word${i % 29} word${i}`.replace(/\d+/g, (n) => 'abcdefghij'[n % 10].repeat(1 + (n % 7))));
    const vectors = texts.map(vector);
    const ids = texts.map((_, i) => String(i));
    const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
    for (const firstStage of [{ kind: 'none' }, { kind: 'int8' }, { kind: 'binary' }, { kind: 'float32', dimensions: 32 }]) {
      const index = edge.createIndex({ dimensions: 64, space: SPACE, firstStage });
      index.add({ ids, vectors, space: SPACE });
      for (const query of [vectors[5], vectors[123]]) {
        const expected = vectors.map((row, i) => ({ id: ids[i], score: dot(row, query) / Math.hypot(...row) / Math.hypot(...query) })).sort((a, b) => b.score - a.score || a.id - b.id).slice(0, 5);
        const found = index.search({ vector: query, space: SPACE, k: 5, candidates: 250 });
        for (const [i, { score }] of found.entries()) assert.ok(Math.abs(score - expected[i].score) < 1e-5, `${firstStage.kind}: ${score} ${expected[i].score}`);
      }
      index.free();
    }
  });

  test('agrees with a loop in plain JavaScript at every length, also where no SIMD lane is filled', () => {
    let state = 1;
    const numbers = (n) => Float32Array.from({ length: n }, () => ((state = Math.imul(state, 1664525) + 1013904223) >>> 8) / 2 ** 23 - 1);
    const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
    const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const close = (found, expected, tolerance, what) => assert.ok(Math.abs(found - expected) <= tolerance, `${what}: ${found} ${expected}`);
    for (let dimensions = 1; dimensions <= 70; dimensions++) {
      for (const [multivectorStorage, tolerance] of [['float32', 1e-5], ['int8', 0.02]]) {
        const index = edge.createIndex({ dimensions, space: SPACE, multivectorDimensions: dimensions, multivectorSpace: 'm', multivectorStorage });
        const vectors = Array.from({ length: 7 }, () => numbers(dimensions));
        const tokens = vectors.map((_, i) => numbers(dimensions * (1 + i)));
        index.add({ ids: vectors.map((_, i) => String(i)), vectors, space: SPACE, multivectors: tokens, multivectorSpace: 'm' });
        const query = numbers(dimensions);
        for (const { id, score } of index.search({ vector: query, space: SPACE })) close(score, cosine(query, vectors[id]), 1e-5, `${dimensions}`);
        const asked = numbers(dimensions * 5);
        const rowsOf = (values) => Array.from({ length: values.length / dimensions }, (_, row) => values.subarray(row * dimensions, (row + 1) * dimensions));
        for (const { id, score } of index.search({ multivector: asked, multivectorSpace: 'm' })) {
          const expected = rowsOf(asked).reduce((sum, q) => sum + Math.max(...rowsOf(tokens[id]).map((t) => cosine(q, t))), 0);
          close(score, expected, tolerance * 5, `${multivectorStorage} ${dimensions}`);
        }
        index.free();
      }
    }
  });

  test('ranks by the tokens of multi-vectors, in floats and in bytes', () => {
    for (const multivectorStorage of ['float32', 'int8']) {
      const index = edge.createIndex({ multivectorDimensions: 2, multivectorSpace: 'm', multivectorStorage });
      index.add({ ids: ['one', 'both'], multivectors: [Float32Array.of(1, 0), Float32Array.of(1, 0, 0, 1)], multivectorSpace: 'm' });
      const hits = index.search({ multivector: Float32Array.of(2, 0, 0, 3), multivectorSpace: 'm' });
      assert.deepEqual(hits.map(({ id, score }) => [id, Math.round(score * 100) / 100]), [['both', 2], ['one', 1]]);
      index.free();
    }
  });

  test('refuses what cannot be compared, by a code, and stays as it was', () => {
    const index = filled();
    const add = (items) => () => index.add({ ids: ['c'], vectors: [vector('x')], space: SPACE, ...items });
    throwsCode(add({ space: 'other' }), 'SPACE_MISMATCH', /hosted\/test.*other/);
    throwsCode(add({ ids: ['a'] }), 'DUPLICATE_ID', /`a`/);
    throwsCode(add({ vectors: [new Float32Array(63)] }), 'INPUT_INVALID', /64.*63/);
    throwsCode(add({ vectors: [new Float32Array(64)] }), 'INPUT_INVALID', /length/);
    throwsCode(add({ vectors: [vector('x').fill(NaN)] }), 'INPUT_INVALID', /not finite/);
    throwsCode(add({ fields: [{ nested: {} }] }), 'INPUT_INVALID', /nested/);
    throwsCode(() => index.search({ vector: vector('x'), space: SPACE, filter: { feld: 'n', equals: 1 } }), 'INPUT_INVALID', /filter/);
    throwsCode(() => edge.createIndex({ dimensions: 64 }), 'INPUT_INVALID', /space/);
    assert.equal(index.size, 2);
    index.free();
    throwsCode(() => index.size, 'DISPOSED');
  });

  test('comes back from its file, and not from one that is cut or changed', () => {
    const index = filled();
    const file = Buffer.concat([...index.file()]);
    const opened = edge.openIndex(file);
    assert.deepEqual([opened.size, opened.schema, opened.get('a')], [2, index.schema, index.get('a')]);
    throwsCode(() => edge.openIndex(file.subarray(0, file.length - 9)), 'INDEX_INVALID');
    throwsCode(() => edge.openIndex(new Uint8Array(9)), 'INDEX_INVALID');
    const later = Buffer.from(file);
    later[8] = 2;
    throwsCode(() => edge.openIndex(later), 'INDEX_UNSUPPORTED', /version 2/);
    // Stopping early leaves the index usable.
    for (const _ of index.file()) break;
    assert.equal([...index.file()].length, 1);
  });
});

describe('the tokeniser', () => {
  test('gives the ids of the reference, from tokenizer.json and from a GGUF file', () => {
    const golden = JSON.parse(fixture('tiny/golden/tokenizer.json'));
    const gguf = fixture('tiny_gguf/tiny-jina-v4-a-retrieval-Q8_0.gguf');
    for (const file of [fixture('tiny/tokenizer.json'), gguf]) {
      const tokenizer = edge.openTokenizer(file);
      for (const { text, ids } of golden) {
        const tokens = tokenizer.encode(text);
        assert.deepEqual([...tokens.ids], ids, JSON.stringify(text));
        assert.equal(tokenizer.count(text), ids.length);
      }
      tokenizer.free();
    }
  });

  test('counts the prefix of a task, and places tokens by the units of the text', () => {
    const tokenizer = edge.openTokenizer(fixture('tiny/tokenizer.json'));
    const text = '\u{1F600} schön';
    assert.ok(tokenizer.count(text, { task: 'retrieval.passage' }) > tokenizer.count(text));
    const { starts, ends } = tokenizer.encode(text, { task: 'retrieval.query' });
    assert.equal(ends.at(-1), text.length);
    assert.equal(ends[0], 0);
    const pieces = [...starts].map((start, i) => text.slice(start, ends[i]));
    assert.ok(pieces.includes('\u{1F600}') || pieces.includes(' \u{1F600}'), JSON.stringify(pieces));
    throwsCode(() => tokenizer.count(text, { task: 'poetry' }), 'INPUT_INVALID', /poetry/);
    throwsCode(() => edge.openTokenizer(Buffer.from('{}')), 'MODEL_INVALID');
  });
});

describe('pictures', () => {
  test('have the sizes, the pixels and the patches of the reference', () => {
    const pictures = edge.openPictures();
    const fromConfig = edge.openPictures(fixture('tiny/preprocessor_config.json'));
    for (const { file, max_pixels, decoded_size_wh, resized_wh, resized_u8_sha256, n_patches, n_image_tokens } of JSON.parse(fixture('tiny/golden/image.json'))) {
      const bytes = new Uint8Array(fixture(`tiny/golden/${file}`));
      const options = max_pixels === null ? {} : { maxPixels: max_pixels };
      const [width, height] = decoded_size_wh;
      const decoded = edge.decodePicture(bytes);
      assert.deepEqual([decoded.width, decoded.height], [width, height], file);
      for (const settings of [pictures, fromConfig]) {
        const size = settings.size(width, height, options);
        assert.deepEqual([size.width, size.height, size.tokens], [...resized_wh, n_image_tokens], file);
      }
      const resized = pictures.resize(decoded, options);
      const rgb = Buffer.from(resized.rgba.filter((_, i) => i % 4 !== 3));
      assert.equal(createHash('sha256').update(rgb).digest('hex'), resized_u8_sha256, file);
      const patches = pictures.patches(bytes, options);
      assert.equal(patches.rows * patches.columns, n_patches, file);
      assert.equal(patches.values.length, n_patches * 3 * 2 * 14 * 14);
    }
    throwsCode(() => edge.decodePicture(new Uint8Array(10)), 'INPUT_INVALID');
    throwsCode(() => edge.openPictures({ patchSize: 0 }), 'MODEL_INVALID', /patch_size/);
    throwsCode(() => edge.openPictures({ patchsize: 14 }), 'INPUT_INVALID', /patchsize/);
  });
});

describe('createEmbedder of an edge worker', () => {
  const hosted = { baseURL: 'http://127.0.0.1:9/v1', apiKey: 'k' };

  test('is the hosted API in every mode but only-local, and says so where the device was preferred', async () => {
    for (const mode of [undefined, 'only-hosted', 'prefer-hosted', 'prefer-local']) {
      const reasons = [];
      const embedder = await createEmbedder({ hosted, mode, onFallback: ({ from, to, code }) => reasons.push([from, to, code]) });
      assert.equal(embedder.info.source, 'hosted');
      assert.deepEqual(reasons, mode === 'prefer-local' ? [['local', 'hosted', 'LOCAL_UNAVAILABLE']] : []);
    }
    await assert.rejects(createEmbedder({ hosted, mode: 'only-local' }), { name: 'EmbedderError', code: 'LOCAL_UNAVAILABLE', message: /only-local/ });
    await assert.rejects(createEmbedder({ hosted, mode: 'local' }), { code: 'INPUT_INVALID', message: /local/ });
  });
});

test('a module that cannot be started is WASM_INIT', async () => {
  // A process of its own: a module starts once.
  const { spawnSync } = await import('node:child_process');
  const script = `
    const { createEdge } = await import(${JSON.stringify(pathToFileURL(join(ROOT, 'pkg-config/dist/edge-node.js')).href)});
    await createEdge({ wasm: new Uint8Array(8) }).catch(({ code }) => console.log(code));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.equal(stdout.trim(), 'WASM_INIT');
});
