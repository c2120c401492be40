import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EncodeProgress, Task } from '../../www/lib/index.js';
import { modelDirectory, serveFiles, bytesOf } from './support/model-server.js';
import { deferred, load, pause } from './support/loaded.js';

const QUERY = { task: 'retrieval.query' } as const;

describe('a result', () => {
  test('of one input holds its embedding by itself and in the list', async () => {
    const { embedder } = await load();
    const { embedding, embeddings } = await embedder.encode('hello', QUERY);
    assert.ok(embedding instanceof Float32Array);
    assert.deepEqual(embedding, Float32Array.of(5, 5, 5, 5));
    assert.equal(embeddings[0], embedding);
  });

  test('of a list keeps the order and owns its memory', async () => {
    const { embedder } = await load();
    const { embeddings } = await embedder.encode(['a', { text: 'bb' }, 'ccc'], QUERY);
    assert.deepEqual(embeddings.map((embedding) => embedding[0]), [1, 2, 3]);
    for (const { buffer, byteLength } of embeddings) assert.equal(buffer.byteLength, byteLength);
  });

  test('counts tokens and images, and tells device, space and timings', async () => {
    const { embedder } = await load();
    const result = await embedder.encode(['abc', { image: bytesOf(9) }], { ...QUERY, dimensions: 2 });
    assert.deepEqual(result.usage, { tokens: 'abc'.length + 'file of 9'.length, images: 1 });
    assert.equal(result.source, 'local');
    assert.equal(result.device, 'wasm');
    assert.equal(result.dimensions, 2);
    assert.equal(result.space, 'space-of-the-file/retrieval/mean-l2/2');
    assert.equal(result.timings.preprocessMs, 1);
    assert.equal(result.timings.computeMs, 2);
    assert.ok(result.timings.totalMs >= 0);
  });

  test('is of the same space for a query and a passage, and of another for another adapter or length', async () => {
    const { embedder } = await load();
    const spaceOf = async (task: Task, dimensions?: number): Promise<string> => (await embedder.encode('x', { task, dimensions })).space;
    assert.equal(await spaceOf('retrieval.query'), await spaceOf('retrieval.passage'));
    assert.notEqual(await spaceOf('retrieval.query'), await spaceOf('code.query'));
    assert.notEqual(await spaceOf('retrieval.query'), await spaceOf('retrieval.query', 2));
  });

  test('with returnMultivector has one vector per token, reached by row', async () => {
    const { embedder } = await load();
    const { embedding, space } = await embedder.encode('hello', { ...QUERY, returnMultivector: true });
    assert.deepEqual([embedding.rows, embedding.dimensions, embedding.values.length], [3, 4, 12]);
    assert.deepEqual(embedding.row(2), embedding.values.subarray(8, 12));
    assert.throws(() => embedding.row(3), RangeError);
    assert.throws(() => embedding.row(-1), RangeError);
    assert.equal(space, 'space-of-the-file/retrieval/tokens-l2/4');
  });
});

describe('options', () => {
  test('reach the model as they were given', async () => {
    const { embedder, face } = await load();
    await embedder.encode('x', { task: 'code.passage', dimensions: 2, lateChunking: true, maxPixels: 1000, maxLength: 20 });
    assert.deepEqual(face.encodes[0]?.options, { task: 'code.passage', dimensions: 2, multivector: false, lateChunking: true, maxPixels: 1000, maxLength: 20 });
  });

  test('that break a rule are named, and the embedder stays usable', async () => {
    const { embedder } = await load();
    const rejects = (options: unknown, message: RegExp): Promise<void> =>
      assert.rejects(embedder.encode('x', options as typeof QUERY), { name: 'EmbedderError', code: 'INPUT_INVALID', message });
    await rejects(undefined, /`task` must be one of retrieval\.query/);
    await rejects({ task: 'retrieval' }, /not "retrieval"/);
    await rejects({ ...QUERY, dimensions: 0 }, /`dimensions` must be a whole number above 0, not 0/);
    await rejects({ ...QUERY, maxPixels: 1.5 }, /`maxPixels`/);
    await rejects({ ...QUERY, onInputError: 'skip' }, /`onInputError` must be "throw" or "null"/);
    assert.ok(await embedder.encode('x', QUERY));
  });

  test('an empty list is refused', async () => {
    const { embedder } = await load();
    await assert.rejects(embedder.encode([], QUERY), { code: 'INPUT_INVALID', message: /empty/ });
  });

  test('onProgress counts the inputs', async () => {
    const { embedder } = await load();
    const seen: EncodeProgress[] = [];
    await embedder.encode(['a', 'b'], { ...QUERY, onProgress: (progress) => seen.push(progress) });
    assert.deepEqual(seen, [{ done: 1, total: 2 }, { done: 2, total: 2 }]);
  });
});

describe('a bad input', () => {
  test('rejects the call, and every bad one is listed with its index', async () => {
    const { embedder } = await load();
    const inputs = ['good', 'bad', { image: 42 as unknown as string }, 'bad'];
    const error = await embedder.encode(inputs, QUERY).catch((reason) => reason);
    assert.equal(error.code, 'INPUT_INVALID');
    assert.deepEqual(error.inputs.map(({ index, code }: { index: number; code: string }) => [index, code]), [[1, 'INPUT_INVALID'], [2, 'INPUT_INVALID'], [3, 'INPUT_INVALID']]);
    assert.match(error.message, /^3 of 4 inputs cannot be embedded: input 1: the text is "bad"; input 2: /);
    assert.ok(await embedder.encode('good', QUERY));
  });

  test("becomes null with onInputError 'null', and the others are embedded", async () => {
    const { embedder } = await load();
    const { embeddings, errors } = await embedder.encode(['bad', 'ok'], { ...QUERY, onInputError: 'null' });
    assert.equal(embeddings[0], null);
    assert.equal(embeddings[1]?.length, 4);
    assert.deepEqual(errors, [{ index: 0, code: 'INPUT_INVALID', message: 'the text is "bad"' }]);
  });

  test('rejects a late-chunked call in any case', async () => {
    const { embedder } = await load();
    await assert.rejects(embedder.encode(['bad', 'ok'], { ...QUERY, lateChunking: true, onInputError: 'null' }), { code: 'INPUT_INVALID' });
  });

  test('keeps the reason of the model where all share it', async () => {
    const { embedder } = await load();
    await assert.rejects(embedder.encode(['nan', 'nan'], QUERY), { code: 'NOT_FINITE' });
    await assert.rejects(embedder.encode(['nan', 'bad'], QUERY), { code: 'INPUT_INVALID' });
  });

  test('that is a picture nobody serves names its address', async () => {
    const server = await serveFiles(modelDirectory());
    const { embedder } = await load();
    const { errors, embeddings } = await embedder.encode(['a', { image: `${server.url}cat.png` }, { image: `${server.url}vision.gguf` }], { ...QUERY, onInputError: 'null' });
    assert.deepEqual(errors, [{ index: 1, code: 'DOWNLOAD_FAILED', message: `${server.url}cat.png: needed a successful response, found status 404 Not Found` }]);
    assert.equal(embeddings[2]?.[0], 'file of 5000'.length);
    await server.close();
  });

  test('has the index of the whole list where the model refuses the call', async () => {
    const refuse = (): never => { throw { code: 'INPUT_INVALID', message: 'refused', inputs: [{ index: 0, code: 'INPUT_INVALID', message: 'too long' }] }; };
    const { embedder } = await load({ beforeEncode: refuse });
    const error = await embedder.encode([{ image: 42 as unknown as string }, 'x'], QUERY).catch((reason) => reason);
    assert.deepEqual(error.inputs, [{ index: 1, code: 'INPUT_INVALID', message: 'too long' }]);
  });
});

describe('calls that overlap', () => {
  test('are answered in the order they were made, one at a time', async () => {
    let running = 0;
    const { embedder, face } = await load({
      beforeEncode: async () => {
        assert.equal(++running, 1);
        await pause(5);
        running -= 1;
      },
    });
    const order: string[] = [];
    await Promise.all(['one', 'two', 'three'].map(async (text) => {
      await embedder.encode(text, QUERY);
      order.push(text);
    }));
    assert.deepEqual(order, ['one', 'two', 'three']);
    assert.deepEqual(face.log.filter((entry) => entry.startsWith('encode')), ['encode one', 'encode two', 'encode three']);
  });

  test('do not share their failures', async () => {
    const { embedder } = await load();
    const [good, bad, after] = await Promise.allSettled([embedder.encode('good', QUERY), embedder.encode('bad', QUERY), embedder.encode('after', QUERY)]);
    assert.deepEqual([good.status, bad.status, after.status], ['fulfilled', 'rejected', 'fulfilled']);
  });

  test('let memory be asked meanwhile', async () => {
    const gate = deferred();
    const { embedder } = await load({ beforeEncode: () => gate.promise });
    const running = embedder.encode('x', QUERY);
    assert.deepEqual(await embedder.memory(), { gpu: 7, wasm: 11 });
    gate.resolve();
    await running;
  });
});

describe('an abort', () => {
  test('of a call that waits rejects at once and never reaches the model', async () => {
    const gate = deferred();
    const { embedder, face } = await load({ beforeEncode: () => gate.promise });
    const controller = new AbortController();
    const running = embedder.encode('running', QUERY);
    const waiting = embedder.encode('waiting', { ...QUERY, signal: controller.signal });
    await pause();
    controller.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    // The engine hears of it a moment after the caller does.
    await pause();
    gate.resolve();
    await running;
    await embedder.encode('next', QUERY);
    assert.deepEqual(face.log.filter((entry) => entry.startsWith('encode')), ['encode running', 'encode next']);
  });

  test('of the running call rejects at once, is seen by the model, and the next call runs', async () => {
    let seen = false;
    const { embedder } = await load({
      beforeEncode: async (inputs, isAborted) => {
        if ((inputs[0] as { text: string }).text !== 'long') return;
        while (!isAborted()) await pause(1);
        seen = true;
      },
    });
    const controller = new AbortController();
    const running = embedder.encode('long', { ...QUERY, signal: controller.signal });
    const next = embedder.encode('next', QUERY);
    await pause();
    controller.abort();
    await assert.rejects(running, { name: 'AbortError' });
    assert.ok(await next);
    assert.equal(seen, true);
  });

  test('before the call rejects without reaching the model', async () => {
    const { embedder, face } = await load();
    await assert.rejects(embedder.encode('x', { ...QUERY, signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.deepEqual(face.encodes, []);
  });

  test('stops a picture that is being fetched', async () => {
    const server = await serveFiles({ 'slow.png': (_request, response) => void response.writeHead(200).write('x') });
    const { embedder } = await load();
    const controller = new AbortController();
    const call = embedder.encode({ image: `${server.url}slow.png` }, { ...QUERY, signal: controller.signal });
    await pause(50);
    controller.abort();
    await assert.rejects(call, { name: 'AbortError' });
    assert.ok(await embedder.encode('next', QUERY));
    await pause(100);
    assert.deepEqual(server.cancelled, ['slow.png']);
    await server.close();
  });
});

describe("the caller's own things", () => {
  test('stay as they were: buffers keep their bytes, and later changes do not reach the call', async () => {
    const gate = deferred();
    const { embedder, face } = await load({ beforeEncode: () => gate.promise });
    const buffer = Uint8Array.of(1, 2, 3).buffer;
    const view = new Uint8Array(8).fill(9).subarray(2, 5);
    const call = embedder.encode([{ image: buffer }, { image: view }], QUERY);
    view.fill(0);
    gate.resolve();
    await call;
    assert.equal(buffer.byteLength, 3);
    assert.equal(view.buffer.byteLength, 8);
    const given = face.encodes[0]?.inputs.map((input) => ('image' in input ? [...input.image] : []));
    assert.deepEqual(given, [[1, 2, 3], [9, 9, 9]]);
  });

  test('include onProgress: what it throws is reported, and the call goes on', async () => {
    const { embedder } = await load();
    const reported: unknown[] = [];
    const original = globalThis.queueMicrotask;
    globalThis.queueMicrotask = (task) => void reported.push(task);
    try {
      assert.ok(await embedder.encode('x', { ...QUERY, onProgress: () => { throw new Error('of the listener'); } }));
    } finally {
      globalThis.queueMicrotask = original;
    }
    assert.equal(reported.length, 1);
    assert.throws(reported[0] as () => void, /of the listener/);
  });
});
