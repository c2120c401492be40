import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createEmbedder, type ProgressEvent } from '../../www/lib/index.js';
import { fakeFace } from './support/fake-face.js';
import { workerWith } from './support/fake-worker.js';
import { bytesOf, modelDirectory, serveFiles, type Answer, type ModelServer } from './support/model-server.js';
import { pause } from './support/loaded.js';

const servers: ModelServer[] = [];
const serve = async (files: Record<string, Answer>): Promise<ModelServer> => {
  const server = await serveFiles(files);
  servers.push(server);
  return server;
};
after(() => Promise.all(servers.map((server) => server.close())));

describe('loading a model directory', () => {
  test('hands every byte of every file to the loader, in order, in slices of at most 1 MiB', async () => {
    const directory = modelDirectory();
    const server = await serve(directory);
    const face = fakeFace();
    await createEmbedder({ model: `${server.url}`, device: 'wasm', worker: workerWith(face) });
    assert.deepEqual(
      face.files.map(({ role, task, name }) => [role, task, name]),
      [
        ['text', undefined, 'text-00001-of-00002.gguf'],
        ['text', undefined, 'text-00002-of-00002.gguf'],
        ['vision', undefined, 'vision.gguf'],
        ['projector', undefined, 'projector.gguf'],
        ['adapter', 'retrieval', 'adapter-retrieval.gguf'],
      ],
    );
    for (const file of face.files) assert.deepEqual(Uint8Array.from(file.bytes), directory[file.name], file.name);
    assert.equal(face.files[0]?.nBytes, 1_500_000);
    assert.ok(face.largestPush <= 1 << 20, `${face.largestPush}`);
    assert.equal(face.log.filter((entry) => entry === 'free loader').length, 0);
  });

  test('tells what was loaded: model, licence, space, device, memory', async () => {
    const server = await serve(modelDirectory());
    const { info } = await createEmbedder({ model: server.url.slice(0, -1), device: 'wasm', worker: workerWith(fakeFace()) });
    assert.equal(info.model.name, 'tiny');
    assert.equal(info.model.licence, 'CC BY-NC 4.0');
    assert.equal(info.model.nBytes, 1_506_500);
    assert.equal(info.space, 'tiny/q4_0/q8_0/abc');
    assert.equal(info.device, 'wasm');
    assert.equal(info.deviceFallback, undefined);
    assert.deepEqual(info.memory, { gpu: 7, wasm: 11 });
  });

  test('leaves out the parts that the caller does not want', async () => {
    const server = await serve(modelDirectory());
    const face = fakeFace();
    await createEmbedder({ model: server.url, parts: { images: false, multivector: false }, device: 'wasm', worker: workerWith(face) });
    assert.deepEqual(face.files.map(({ role }) => role), ['text', 'text', 'adapter']);
    assert.ok(!server.requests.includes('GET vision.gguf'));
  });

  test('reports progress that never falls, with a total that never changes, up to 100', async () => {
    const server = await serve(modelDirectory());
    const events: ProgressEvent[] = [];
    await createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(fakeFace()), onProgress: (event) => events.push(event) });
    const totals = events.filter((event) => event.status === 'progress_total');
    assert.ok(totals.length > 10);
    assert.ok(totals.every((event, i) => i === 0 || event.loaded >= (totals[i - 1]?.loaded ?? 0)));
    assert.deepEqual(new Set(totals.map(({ total }) => total)), new Set([1_506_500]));
    assert.equal(totals.at(-1)?.progress, 100);
    const ofFirst = events.filter((event) => 'file' in event && event.file === 'text-00001-of-00002.gguf').map(({ status }) => status);
    assert.deepEqual(ofFirst.filter((status, i) => status !== ofFirst[i - 1]), ['initiate', 'download', 'progress', 'upload', 'done']);
    assert.deepEqual(events.slice(-2).map(({ status }) => status), ['compile', 'ready']);
  });

  test('loads a single GGUF address, and all parts of a split one', async () => {
    const server = await serve({ 'm.gguf': bytesOf(10), 's-00001-of-00002.gguf': bytesOf(11), 's-00002-of-00002.gguf': bytesOf(12) });
    const one = fakeFace();
    await createEmbedder({ model: `${server.url}m.gguf?signature=x`, device: 'wasm', worker: workerWith(one) });
    assert.deepEqual(one.files.map(({ bytes }) => bytes.length), [10]);
    const two = fakeFace();
    const { info } = await createEmbedder({ model: `${server.url}s-00001-of-00002.gguf`, device: 'wasm', worker: workerWith(two) });
    assert.deepEqual(two.files.map(({ bytes }) => bytes.length), [11, 12]);
    assert.equal(info.model.name, 's');
    assert.equal(info.space, 'space-of-the-file');
  });

  test('loads files of an object, local ones and addresses together', async () => {
    const server = await serve({ 'a.gguf': bytesOf(20) });
    const face = fakeFace();
    const model = { text: [new File([bytesOf(2_500_000) as BlobPart], 'x.gguf')], adapters: { retrieval: `${server.url}a.gguf` } };
    await createEmbedder({ model, device: 'wasm', worker: workerWith(face) });
    assert.deepEqual(face.files.map(({ role, task, name, bytes }) => [role, task, name, bytes.length]), [
      ['text', undefined, 'x.gguf', 2_500_000],
      ['adapter', 'retrieval', 'a.gguf', 20],
    ]);
    assert.deepEqual(Uint8Array.from(face.files[0]?.bytes ?? []), bytesOf(2_500_000));
  });
});

describe('a download that goes wrong', () => {
  const rejection = async (files: Record<string, Answer>, path = ''): Promise<{ error: Record<string, any>; log: string[]; url: string }> => {
    const server = await serve(files);
    const face = fakeFace();
    const error = await createEmbedder({ model: `${server.url}${path}`, device: 'wasm', worker: workerWith(face) }).then(
      () => assert.fail('the embedder was created'),
      (reason) => reason,
    );
    await pause();
    return { error, log: face.log, url: server.url };
  };

  test('names status and address of a missing model', async () => {
    const { error, log, url } = await rejection({});
    assert.equal(error['name'], 'EmbedderError');
    assert.equal(error['code'], 'DOWNLOAD_FAILED');
    assert.equal(error['recoverable'], true);
    assert.deepEqual(error['data'], { url: `${url}model.json`, status: 404 });
    assert.equal(log.at(-1), 'destroy device');
  });

  test('names status and address of a missing file, and frees the half-loaded model', async () => {
    const { 'vision.gguf': _, ...files } = modelDirectory();
    const { error, log, url } = await rejection(files);
    assert.deepEqual(error['data'], { url: `${url}vision.gguf`, status: 404 });
    assert.deepEqual(log.slice(-2), ['free loader', 'destroy device']);
  });

  test('says what a page in place of model.json begins with', async () => {
    const { error } = await rejection({ 'model.json': '<!doctype html><html></html>' });
    assert.equal(error['code'], 'MODEL_INVALID');
    assert.match(error['message'], /needed JSON, found "<!doctype html>/);
  });

  test('finds a file of the wrong bytes by its hash', async () => {
    const { error, log, url } = await rejection({ ...modelDirectory(), 'vision.gguf': bytesOf(5000, 9) });
    assert.equal(error['code'], 'INTEGRITY');
    assert.equal(error['data'].url, `${url}vision.gguf`);
    assert.match(error['data'].needed, /^[0-9a-f]{64}$/);
    assert.match(error['data'].found, /^[0-9a-f]{64}$/);
    assert.deepEqual(log.slice(-2), ['free loader', 'destroy device']);
  });

  test('finds a file that is too short, and tells needed and found', async () => {
    const { error, url } = await rejection({ ...modelDirectory(), 'vision.gguf': bytesOf(4999, 3) });
    assert.equal(error['code'], 'DOWNLOAD_FAILED');
    assert.deepEqual(error['data'], { url: `${url}vision.gguf`, needed: 5000, found: 4999 });
  });

  test('finds a file that is too long before its surplus reaches the loader', async () => {
    const server = await serve({ ...modelDirectory(), 'vision.gguf': bytesOf(5001, 3) });
    const face = fakeFace();
    await assert.rejects(createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(face) }), { code: 'DOWNLOAD_FAILED' });
    assert.ok((face.files.find(({ role }) => role === 'vision')?.bytes.length ?? 0) <= 5000);
  });

  test('reports a connection that breaks half-way', async () => {
    const { error, url } = await rejection({
      ...modelDirectory(),
      'vision.gguf': (_request, response) => {
        response.writeHead(200, { 'content-length': 5000 });
        response.write(bytesOf(100, 3), () => response.destroy());
      },
    });
    assert.equal(error['code'], 'DOWNLOAD_FAILED');
    assert.equal(error['data'].url, `${url}vision.gguf`);
  });

  test('reports a server that is not there', async () => {
    const server = await serve({});
    await server.close();
    await assert.rejects(createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(fakeFace()) }), { code: 'DOWNLOAD_FAILED' });
  });

  test('passes on what the loader says of a bad file', async () => {
    const server = await serve(modelDirectory());
    const bad = fakeFace({ onPush: () => { throw { code: 'MODEL_INVALID', message: 'magic: needed GGUF, found JUNK' }; } });
    await assert.rejects(createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(bad) }), { code: 'MODEL_INVALID', message: 'magic: needed GGUF, found JUNK' });
  });

  test('does not spoil the next attempt', async () => {
    const server = await serve(modelDirectory());
    const face = fakeFace();
    await assert.rejects(createEmbedder({ model: `${server.url}nowhere/`, device: 'wasm', worker: workerWith(face) }));
    const embedder = await createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(face) });
    assert.equal((await embedder.encode('hello', { task: 'retrieval.query' })).embedding.length, 4);
  });
});

describe('sizes that nobody states', () => {
  test('are asked for, and then count towards the total', async () => {
    const server = await serve({ 'm.gguf': bytesOf(1234) });
    const events: ProgressEvent[] = [];
    await createEmbedder({ model: `${server.url}m.gguf`, device: 'wasm', worker: workerWith(fakeFace()), onProgress: (event) => events.push(event) });
    assert.ok(server.requests.includes('HEAD m.gguf'));
    assert.deepEqual(events.filter((event) => event.status === 'progress_total').at(-1), { status: 'progress_total', loaded: 1234, total: 1234, progress: 100 });
  });

  test('stay absent until the end where the server does not tell', async () => {
    const server = await serve({
      'm.gguf': (request, response) => {
        if (request.method === 'HEAD') return void response.writeHead(405).end();
        response.writeHead(200, { 'transfer-encoding': 'chunked' });
        response.end(bytesOf(3_000_000));
      },
    });
    const events: ProgressEvent[] = [];
    await createEmbedder({ model: `${server.url}m.gguf`, device: 'wasm', worker: workerWith(fakeFace()), onProgress: (event) => events.push(event) });
    const progress = events.filter((event) => event.status === 'progress');
    assert.equal(progress[0]?.total, undefined);
    assert.deepEqual(progress.at(-1), { status: 'progress', file: 'm.gguf', loaded: 3_000_000, total: 3_000_000, progress: 100 });
    assert.ok(!events.some((event) => event.status === 'progress_total'));
  });
});

describe('cancelling a load', () => {
  const endless: Answer = (_request, response) => {
    response.writeHead(200, { 'content-length': 5000 });
    response.write(bytesOf(10, 3));
  };

  test('before it starts rejects without asking any server', async () => {
    const server = await serve(modelDirectory());
    await assert.rejects(createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(fakeFace()), signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.deepEqual(server.requests, []);
  });

  test('in the middle of a file rejects at once and ends the worker', async () => {
    const server = await serve({ ...modelDirectory(), 'vision.gguf': endless });
    const controller = new AbortController();
    const worker = workerWith(fakeFace());
    const loading = createEmbedder({
      model: server.url, device: 'wasm', worker, signal: controller.signal,
      onProgress: (event) => { if (event.status === 'download' && event.file === 'vision.gguf') controller.abort(); },
    });
    await assert.rejects(loading, { name: 'AbortError' });
    assert.equal(worker.terminated, true);
  });

  test('keeps the reason of the signal as the cause', async () => {
    const server = await serve({ 'model.json': (_request, response) => void response.writeHead(200) });
    const error = await createEmbedder({ model: server.url, device: 'wasm', worker: workerWith(fakeFace()), signal: AbortSignal.timeout(20) }).catch((reason) => reason);
    assert.equal(error.name, 'AbortError');
    assert.equal(error.cause.name, 'TimeoutError');
  });
});

describe("a caller's own fetch", () => {
  test('is asked for every file, in the calling thread, and its bytes arrive whole', async () => {
    const directory = modelDirectory();
    const asked: string[] = [];
    const large = new Uint8Array(3_000_000);
    const fetch = async (url: string): Promise<Response> => {
      const name = new URL(url).pathname.slice(1);
      asked.push(name);
      const body = directory[name];
      // One chunk that is a view into a larger buffer: it must be copied from, not transferred.
      if (body instanceof Uint8Array) large.set(body, 1000);
      const stream = new ReadableStream({
        start: (controller) => {
          controller.enqueue(body instanceof Uint8Array ? large.subarray(1000, 1000 + body.length) : new TextEncoder().encode(body));
          controller.close();
        },
      });
      return new Response(stream);
    };
    const face = fakeFace();
    await createEmbedder({ model: 'https://example.invalid/', device: 'wasm', worker: workerWith(face), fetch });
    assert.deepEqual(asked, ['model.json', 'text-00001-of-00002.gguf', 'text-00002-of-00002.gguf', 'vision.gguf', 'projector.gguf', 'adapter-retrieval.gguf']);
    for (const file of face.files) assert.deepEqual(Uint8Array.from(file.bytes), directory[file.name], file.name);
    assert.equal(large.length, 3_000_000);
  });

  test('that fails is a failed download naming the address', async () => {
    const fetch = (): Promise<Response> => Promise.reject(new TypeError('no route'));
    const error = await createEmbedder({ model: 'https://example.invalid/', device: 'wasm', worker: workerWith(fakeFace()), fetch }).catch((reason) => reason);
    assert.equal(error.code, 'DOWNLOAD_FAILED');
    assert.equal(error.message, 'https://example.invalid/model.json: no route');
    assert.equal(error.data.url, 'https://example.invalid/model.json');
  });

  test('is cancelled together with the load', async () => {
    const controller = new AbortController();
    let cancelled = false;
    const fetch = (_url: string, { signal }: { signal: AbortSignal }): Promise<Response> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          cancelled = true;
          reject(signal.reason);
        });
        controller.abort();
      });
    await assert.rejects(createEmbedder({ model: 'https://example.invalid/', device: 'wasm', worker: workerWith(fakeFace()), fetch, signal: controller.signal }), { name: 'AbortError' });
    assert.equal(cancelled, true);
  });
});
