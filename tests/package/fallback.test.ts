// Every cause of a fallback in every mode; what is none; and that sides never alternate.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { availability, createEmbedder, type CreateOptions, type FallbackReason, type HostedOptions, type HybridOptions, type Mode } from '../../www/lib/index.js';
import { failing, hostedServer, json, type HostedServer, type Script } from './support/hosted-server.js';
import { fakeFace, trap, type Behaviour, type FakeFace } from './support/fake-face.js';
import { silentWorker, workerWith, type FakeWorker } from './support/fake-worker.js';
import { ONE_FILE, pause } from './support/loaded.js';
import { bytesOf, modelDirectory, serveFiles, type Answer, type ModelServer } from './support/model-server.js';

const QUERY = { task: 'retrieval.query' } as const;
const MODES: readonly Mode[] = ['prefer-local', 'only-local', 'prefer-hosted', 'only-hosted'];
const closing: { close(): Promise<void> }[] = [];
after(() => Promise.all(closing.map((server) => server.close())));

interface World {
  readonly api: HostedServer;
  readonly faces: FakeFace[];
  readonly workers: FakeWorker[];
  readonly reasons: FallbackReason[];
  options(mode: Mode, changes?: Partial<HybridOptions>): HybridOptions;
}

/** An API and, behind a function that makes workers, a device; each of its engines behaves as `behaviour` says. */
async function world(behaviour: (nth: number) => Behaviour = () => ({}), script?: Script): Promise<World> {
  const api = await hostedServer(script);
  closing.push(api);
  const faces: FakeFace[] = [];
  const workers: FakeWorker[] = [];
  const reasons: FallbackReason[] = [];
  const worker = (): Worker => {
    const face = fakeFace(behaviour(faces.length + 1));
    faces.push(face);
    const made = workerWith(face);
    workers.push(made);
    return made;
  };
  const hosted = { baseURL: api.url, maxRetries: 0 };
  return {
    api, faces, workers, reasons,
    options: (mode, changes = {}) => ({ model: ONE_FILE, worker, mode, hosted, onFallback: (reason) => reasons.push(reason), onLicence: () => undefined, ...changes }) as HybridOptions,
  };
}

/** The sources of two calls, or the code of the error. */
async function outcome(options: HybridOptions): Promise<string> {
  try {
    const embedder = await createEmbedder(options);
    const first = await embedder.encode(['abc', { text: 'de' }], QUERY);
    const second = await embedder.encode('f', QUERY);
    assert.equal(first.embeddings[0]?.[0], 3);
    assert.equal(first.space.startsWith('hosted/'), first.source === 'hosted');
    assert.equal(embedder.info.source, second.source);
    await embedder.dispose();
    return `${first.source} ${second.source}`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const lost = (face: FakeFace): Promise<never> => {
  face.emit({ type: 'lost', code: 'DEVICE_LOST', message: 'the device was lost' });
  return new Promise(() => undefined);
};
const throwing = (code: string): Behaviour => ({ beforeFinish: () => Promise.reject({ code, message: `thrown: ${code}` }) });
const onDevice = (code: string): Behaviour => ({ device: { webgpu: { code, message: `thrown: ${code}` }, wasm: { code, message: `thrown: ${code}` } } });

async function files(changes: Record<string, Answer>): Promise<ModelServer> {
  const server = await serveFiles({ ...modelDirectory(), ...changes });
  closing.push(server);
  return server;
}

/** What makes this device impossible: the code, and a world in which it happens. */
const LOCAL_CAUSES: readonly [string, string, () => Promise<[World, Partial<HybridOptions>]>][] = [
  ['no WebGPU', 'WEBGPU_UNAVAILABLE', async () => [await world(() => onDevice('WEBGPU_UNAVAILABLE')), {}]],
  ['no adapter', 'NO_ADAPTER', async () => [await world(() => onDevice('NO_ADAPTER')), {}]],
  ['limits that do not do', 'LIMITS_INSUFFICIENT', async () => [await world(() => onDevice('LIMITS_INSUFFICIENT')), {}]],
  ['too little memory for the weights', 'OUT_OF_MEMORY', async () => [await world(() => throwing('OUT_OF_MEMORY')), {}]],
  ['too little memory for a call', 'OUT_OF_MEMORY', async () => [await world(() => ({ beforeEncode: () => Promise.reject({ code: 'OUT_OF_MEMORY', message: 'needed 3 GB' }) })), {}]],
  ['a quota that is used up', 'QUOTA', async () => [await world(() => throwing('QUOTA')), {}]],
  ['a model that is not there', 'DOWNLOAD_FAILED', async () => [await world(), { model: `${(await files({})).url}nowhere/` }]],
  ['a download that breaks', 'DOWNLOAD_FAILED', async () => {
    const server = await files({ 'vision.gguf': (_request, response) => void response.writeHead(200, { 'content-length': 5000 }).write('x', () => response.destroy()) });
    return [await world(), { model: server.url }];
  }],
  ['a file of the wrong bytes', 'INTEGRITY', async () => [await world(), { model: (await files({ 'vision.gguf': bytesOf(5000, 9) })).url }]],
  ['a model that cannot be read', 'MODEL_INVALID', async () => [await world(() => throwing('MODEL_INVALID')), {}]],
  ['a self-test that fails', 'SELFTEST_FAILED', async () => [await world(() => throwing('SELFTEST_FAILED')), {}]],
  ['a module that traps', 'INTERNAL', async () => [await world(() => ({ beforeFinish: () => Promise.reject(trap()) })), {}]],
  ['a worker that stays silent', 'WORKER_FAILED', async () => [await world(), { worker: silentWorker, initTimeout: 20 }]],
  ['no workers at all', 'WORKER_FAILED', async () => [await world(), { worker: undefined }]],
  ['a device that is lost while loading', 'DEVICE_LOST', async () => {
    const made = await world((nth) => ({ beforeFinish: () => lost(made.faces[nth - 1] as FakeFace) }));
    return [made, {}];
  }],
  ['a device that is lost twice', 'DEVICE_LOST', async () => {
    const made = await world((nth) => ({ beforeEncode: () => lost(made.faces[nth - 1] as FakeFace) }));
    return [made, {}];
  }],
];

/** What makes the hosted API impossible. */
const HOSTED_CAUSES: readonly [string, string, Script | 'closed', Partial<HostedOptions>?][] = [
  ['a server that is not there', 'HOSTED_UNREACHABLE', 'closed'],
  ['a connection that breaks', 'HOSTED_UNREACHABLE', (response) => (response.destroy(), true)],
  ['401', 'HOSTED_AUTH', failing(401, { detail: 'Invalid API key', code: 'AUTH_INVALID_API_KEY' })],
  ['402', 'HOSTED_QUOTA', failing(402, { detail: 'Payment required' })],
  ['403 for want of balance', 'HOSTED_QUOTA', failing(403, { detail: 'balance', code: 'AUTHZ_INSUFFICIENT_BALANCE' })],
  ['429 after the retries', 'HOSTED_RATE_LIMIT', failing(429, { detail: 'later' })],
  ['500', 'HOSTED_SERVER', failing(500, { detail: 'oops' })],
  ['503', 'HOSTED_SERVER', failing(503, '')],
  ['504', 'HOSTED_TIMEOUT', failing(504, '')],
  ['a server that stays silent', 'HOSTED_TIMEOUT', () => true, { timeout: 20 }],
  ['a page in place of an answer', 'HOSTED_RESPONSE', (response) => json(response, 200, '<html>Sign in to the hotel</html>')],
];

describe('where this device is impossible because of', () => {
  for (const [what, code, make] of LOCAL_CAUSES) {
    for (const mode of MODES) {
      const expected = mode === 'only-local' ? code : 'hosted hosted';
      test(`${what}, ${mode} gives ${expected}`, async () => {
        const [{ api, faces, reasons, options }, changes] = await make();
        assert.equal(await outcome(options(mode, changes)), expected);
        const told = reasons.map(({ from, to, ...reason }) => [from, to, reason.code, reason.error.code]);
        assert.deepEqual(told, mode === 'prefer-local' ? [['local', 'hosted', code, code]] : []);
        if (mode.endsWith('hosted')) assert.equal(faces.length, 0);
        if (mode === 'only-local') assert.equal(api.requests.length, 0);
      });
    }
  }
});

describe('where the hosted API is impossible because of', () => {
  for (const [what, code, script, settings] of HOSTED_CAUSES) {
    for (const mode of MODES) {
      const expected = mode === 'only-hosted' ? code : 'local local';
      test(`${what}, ${mode} gives ${expected}`, async () => {
        const { api, faces, reasons, options } = await world(undefined, script === 'closed' ? undefined : script);
        if (script === 'closed') await api.close();
        assert.equal(await outcome(options(mode, { hosted: { baseURL: api.url, maxRetries: 0, ...settings } })), expected);
        assert.deepEqual(reasons.map(({ from, to, ...reason }) => [from, to, reason.code]), mode === 'prefer-hosted' ? [['hosted', 'local', code]] : []);
        if (mode.endsWith('local')) assert.equal(api.requests.length, 0);
        assert.equal(faces.length, mode === 'only-hosted' ? 0 : 1);
      });
    }
  }
});

describe('where both are impossible', () => {
  for (const [mode, code, first] of [['prefer-local', 'HOSTED_AUTH', 'NO_ADAPTER'], ['prefer-hosted', 'NO_ADAPTER', 'HOSTED_AUTH']] as const) {
    test(`${mode} gives the second failure, which names the first`, async () => {
      const { options, reasons } = await world(() => onDevice('NO_ADAPTER'), failing(401, { detail: 'Invalid API key' }));
      const embedder = await createEmbedder(options(mode));
      const error = await embedder.encode('x', QUERY).catch((reason) => reason);
      assert.deepEqual([error.code, error.data.fallback.code], [code, first]);
      assert.match(error.message, new RegExp(`\\(after .* failed: ${first}: `));
      assert.equal(reasons.length, 1);
    });
  }

  test('prefer-hosted asks the hosted API again at the next call', async () => {
    const { api, options } = await world(() => onDevice('NO_ADAPTER'), failing(503, ''));
    const embedder = await createEmbedder(options('prefer-hosted'));
    await assert.rejects(embedder.encode('x', QUERY), { code: 'NO_ADAPTER' });
    api.script = undefined;
    assert.equal((await embedder.encode('x', QUERY)).source, 'hosted');
  });
});

describe('no reason to change sides is', () => {
  for (const mode of MODES) {
    test(`a bad input, in ${mode}`, async () => {
      const { faces, reasons, options } = await world();
      const embedder = await createEmbedder(options(mode));
      await assert.rejects(embedder.encode({ image: 42 as unknown as string }, QUERY), { code: 'INPUT_INVALID' });
      await assert.rejects(embedder.encode('x', { task: 'nonsense' as 'code.query' }), { code: 'INPUT_INVALID' });
      await assert.rejects(embedder.encode([], QUERY), { code: 'INPUT_INVALID' });
      assert.equal(faces.length, mode.endsWith('local') ? 1 : 0);
      assert.deepEqual(reasons, []);
    });

    test(`an abort, before and during a call, in ${mode}`, async () => {
      const controller = new AbortController();
      const abort = (): Promise<void> => (setTimeout(() => controller.abort(), 5), new Promise(() => undefined));
      const { reasons, options } = await world(() => ({ beforeEncode: (_inputs, isAborted) => (abort(), new Promise<void>((resolve) => setInterval(() => isAborted() && resolve(), 1).unref())) }), () => (void abort(), true));
      const embedder = await createEmbedder(options(mode));
      await assert.rejects(embedder.encode('x', { ...QUERY, signal: AbortSignal.abort() }), { name: 'AbortError' });
      await assert.rejects(embedder.encode('x', { ...QUERY, signal: controller.signal }), { name: 'AbortError' });
      assert.deepEqual(reasons, []);
    });

    test(`an abort while it is created, in ${mode}`, async () => {
      const { reasons, options } = await world();
      await assert.rejects(createEmbedder(options(mode, { signal: AbortSignal.abort() })), { name: 'AbortError' });
      assert.deepEqual(reasons, []);
    });
  }

  test('a task that the local model lacks, or a result that is not finite', async () => {
    for (const code of ['TASK_UNAVAILABLE', 'NOT_FINITE']) {
      const { reasons, options } = await world(() => ({ beforeEncode: () => Promise.reject({ code, message: code }) }));
      const embedder = await createEmbedder(options('prefer-local'));
      await assert.rejects(embedder.encode('x', QUERY), { code });
      assert.deepEqual(reasons, []);
    }
  });

  test('a request that the server refuses', async () => {
    for (const status of [400, 404, 413, 422]) {
      const { faces, reasons, options } = await world(undefined, failing(status, { detail: 'no' }));
      const embedder = await createEmbedder(options('prefer-hosted'));
      await assert.rejects(embedder.encode('x', QUERY), { code: 'HOSTED_REJECTED', data: { status, attempts: 1 } });
      assert.deepEqual([reasons, faces.length], [[], 0]);
    }
  });
});

describe('an embedder that changes sides', () => {
  test('serves each call whole, and does not go back', async () => {
    let broken = true;
    const { api, reasons, options } = await world(undefined, (response) => (broken ? json(response, 503, '') : undefined));
    const embedder = await createEmbedder(options('prefer-hosted'));
    const spaces = [(await embedder.encode('a', QUERY)).space];
    broken = false;
    spaces.push((await embedder.encode('b', QUERY)).space);
    assert.deepEqual(new Set(spaces), new Set(['space-of-the-file/retrieval/mean-l2/4']));
    assert.deepEqual([api.requests.length, reasons.length], [1, 1]);
  });

  test('changes once for all calls that are under way, loads once, and tells once', async () => {
    const { faces, reasons, options } = await world(undefined, failing(500, ''));
    const embedder = await createEmbedder(options('prefer-hosted'));
    const results = await Promise.all(['a', 'bb', 'ccc'].map((text) => embedder.encode(text, QUERY)));
    assert.deepEqual(results.map(({ source, embedding }) => [source, embedding[0]]), [['local', 1], ['local', 2], ['local', 3]]);
    assert.deepEqual([faces.length, reasons.length], [1, 1]);
  });

  test('lets calls that still run here end here, and frees the device after them', async () => {
    let first = true;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const { workers, faces, options } = await world(() => ({
      beforeEncode: async () => {
        if (first) {
          first = false;
          throw { code: 'LIMITS_INSUFFICIENT', message: 'too large' };
        }
        await held;
      },
    }));
    const embedder = await createEmbedder(options('prefer-local'));
    const [large, small] = [embedder.encode('large', QUERY), embedder.encode('small', QUERY)];
    assert.equal((await large).source, 'hosted');
    assert.equal(workers[0]?.terminated, false);
    release();
    assert.equal((await small).source, 'local');
    while (!workers[0]?.terminated) await pause(1);
    assert.deepEqual(faces[0]?.log.slice(-2), ['free embedder', 'destroy device']);
  });

  test('has kept the inputs as they were given, pixels and bytes', async () => {
    const { api, options } = await world(() => ({ beforeEncode: () => Promise.reject({ code: 'OUT_OF_MEMORY', message: 'no' }) }));
    const embedder = await createEmbedder(options('prefer-local'));
    const bytes = bytesOf(30);
    const call = embedder.encode([{ image: bytes }, 'text'], QUERY);
    bytes.fill(0);
    await call;
    assert.deepEqual(api.requests[0]?.body['input'], [{ image: Buffer.from(bytesOf(30)).toString('base64') }, 'text']);
    assert.deepEqual(api.requests[0]?.body['truncate'], true);
  });

  test('can be cancelled while it does, and is then where it was', async () => {
    const controller = new AbortController();
    let block = true;
    const { workers, options } = await world(() => ({ beforeFinish: () => (block ? (controller.abort(), new Promise(() => undefined)) : undefined) }), failing(503, ''));
    const embedder = await createEmbedder(options('prefer-hosted'));
    await assert.rejects(embedder.encode('x', { ...QUERY, signal: controller.signal }), { name: 'AbortError' });
    while (!workers[0]?.terminated) await pause(1);
    block = false;
    assert.equal((await embedder.encode('x', QUERY)).source, 'local');
  });

  test('can be disposed of while it does', async () => {
    const { workers, options } = await world(() => ({ beforeFinish: () => new Promise(() => undefined) }), failing(503, ''));
    const embedder = await createEmbedder(options('prefer-hosted'));
    const call = embedder.encode('x', QUERY).catch((reason) => reason);
    while (workers.length === 0) await pause(1);
    await embedder.dispose();
    assert.equal((await call).code, 'DISPOSED');
    await assert.rejects(embedder.encode('x', QUERY), { code: 'DISPOSED' });
    while (!workers[0]?.terminated) await pause(1);
  });

  test('is not disturbed by an onFallback that throws', async () => {
    const { options } = await world(() => onDevice('NO_ADAPTER'));
    const original = globalThis.queueMicrotask;
    const reported: (() => void)[] = [];
    globalThis.queueMicrotask = (task) => void reported.push(task);
    try {
      const embedder = await createEmbedder(options('prefer-local', { onFallback: () => { throw new Error('of the listener'); } }));
      assert.equal(embedder.info.source, 'hosted');
    } finally {
      globalThis.queueMicrotask = original;
    }
    assert.throws(reported[0] as () => void, /of the listener/);
  });
});

describe('an engine that dies', () => {
  test('once, in prefer-local, is started again for the calls it had, without a change of sides', async () => {
    const made = await world((nth) => (nth === 1 ? { beforeEncode: () => lost(made.faces[0] as FakeFace) } : {}));
    const embedder = await createEmbedder(made.options('prefer-local'));
    const results = await Promise.all(['a', 'bb'].map((text) => embedder.encode(text, QUERY)));
    assert.deepEqual(results.map(({ source, embedding }) => [source, embedding[0]]), [['local', 1], ['local', 2]]);
    assert.deepEqual([made.faces.length, made.reasons], [2, []]);
  });

  for (const [what, kill] of [
    ['a lost device', (made: World) => void lost(made.faces[0] as FakeFace)],
    ['a panic', (made: World) => (made.faces[0] as FakeFace).emit({ type: 'panic', code: 'INTERNAL', message: 'index out of bounds' })],
    ['a dead worker', (made: World) => (made.workers[0] as FakeWorker).dispatchEvent(new Event('error'))],
  ] as const) {
    test(`by ${what}, in only-local, fails the calls it had, and the next one finds a new engine`, async () => {
      const made = await world((nth) => (nth === 1 ? { beforeEncode: () => new Promise(() => undefined) } : {}));
      const embedder = await createEmbedder(made.options('only-local') as CreateOptions);
      const calls = ['running', 'waiting'].map((text) => embedder.encode(text, QUERY).catch((reason) => reason));
      while ((made.faces[0]?.encodes.length ?? 0) === 0) await pause(1);
      kill(made);
      for (const error of await Promise.all(calls)) assert.deepEqual([error.name, error.recoverable], ['EmbedderError', true]);
      const results = await Promise.all(['a', 'bb'].map((text) => embedder.encode(text, QUERY)));
      assert.deepEqual(results.map(({ embedding }) => embedding[0]), [1, 2]);
      assert.equal(made.faces.length, 2);
      assert.equal(made.workers[0]?.terminated, true);
      await embedder.dispose();
      assert.equal(made.workers[1]?.terminated, true);
    });
  }

  test('and cannot be started again says so, and may be tried once more', async () => {
    const made = await world((nth) => (nth === 2 ? throwing('OUT_OF_MEMORY') : {}));
    const embedder = await createEmbedder(made.options('only-local') as CreateOptions);
    made.workers[0]?.dispatchEvent(new Event('error'));
    await assert.rejects(embedder.encode('x', QUERY), { code: 'OUT_OF_MEMORY' });
    assert.equal((await embedder.encode('x', QUERY)).source, 'local');
    assert.equal(made.faces.length, 3);
  });

  test('and is being started again lets a caller leave, and ends when it is disposed of', async () => {
    const made = await world((nth) => (nth === 1 ? {} : { beforeFinish: () => new Promise(() => undefined) }));
    const embedder = await createEmbedder(made.options('only-local') as CreateOptions);
    made.workers[0]?.dispatchEvent(new Event('error'));
    const controller = new AbortController();
    const leaving = embedder.encode('x', { ...QUERY, signal: controller.signal });
    const staying = embedder.encode('y', QUERY).catch((reason) => reason);
    while (made.workers.length < 2) await pause(1);
    controller.abort();
    await assert.rejects(leaving, { name: 'AbortError' });
    await embedder.dispose();
    assert.equal((await staying).code, 'DISPOSED');
    while (made.workers.some(({ terminated }) => !terminated)) await pause(1);
  });
});

describe('the key of the hosted API', () => {
  test('is in no reason, error, event or embedder', async () => {
    const KEY = 'jina_SECRET_of_the_fallback';
    const repeats: Script = (response, { headers }) => json(response, 401, { detail: `no such key: ${headers.authorization}`, code: KEY });
    const { api, reasons, options } = await world(() => onDevice('NO_ADAPTER'), repeats);
    const seen: unknown[] = [];
    for (const mode of ['prefer-hosted', 'prefer-local', 'only-hosted'] as const) {
      const embedder = await createEmbedder(options(mode, { hosted: { baseURL: api.url, apiKey: KEY, maxRetries: 0 }, onProgress: (event) => seen.push(event) }));
      seen.push(embedder, embedder.info, await embedder.encode('x', QUERY).catch((error) => error));
    }
    seen.push(reasons, await availability({ mode: 'only-hosted', hosted: { apiKey: KEY } }));
    assert.equal(api.requests.length, 3);
    for (const each of seen) {
      const text = `${inspect(each, { depth: Infinity, showHidden: true, getters: true })} ${JSON.stringify(each)} ${String((each as Error).stack)}`;
      assert.ok(!text.includes('SECRET'), text);
    }
  });
});

describe('options of the modes', () => {
  test('that do not fit together are refused by name', async () => {
    const hosted = { baseURL: 'https://host.example/v1' };
    for (const [options, message] of [
      [{ mode: 'hosted', hosted }, /`mode` must be one of prefer-local, only-local, prefer-hosted, only-hosted, not "hosted"/],
      [{ mode: 'prefer-local', model: ONE_FILE }, /mode "prefer-local" needs the option `hosted`/],
      [{ mode: 'prefer-hosted', hosted }, /mode "prefer-hosted" needs the option `model`/],
      [{ mode: 'only-hosted', model: ONE_FILE }, /needs the option `hosted`/],
      [{ hosted: { ...hosted, batchSize: 0 } }, /`hosted.batchSize`/],
      [{}, /option `model`/],
    ] as const) {
      await assert.rejects(createEmbedder(options as unknown as HybridOptions), { code: 'INPUT_INVALID', message });
    }
  });

  test('left out make the widest mode that they allow', async () => {
    const { options } = await world();
    const { mode: _, ...both } = options('prefer-local');
    assert.equal((await createEmbedder(both as HybridOptions)).info.source, 'local');
    assert.equal((await createEmbedder({ hosted: both.hosted })).info.source, 'hosted');
  });

  test('that the hosted API does not have are refused on both sides alike', async () => {
    const { options } = await world();
    for (const mode of ['prefer-local', 'prefer-hosted', 'only-hosted'] as const) {
      const embedder = await createEmbedder(options(mode));
      await assert.rejects(embedder.encode('x', { ...QUERY, maxPixels: 1000 }), { code: 'INPUT_INVALID', message: /`maxPixels` is heeded in mode "only-local" alone/ });
      await assert.rejects(embedder.encode('x', { ...QUERY, maxLength: 10 }), { code: 'INPUT_INVALID' });
      await assert.rejects(embedder.encode('x', { ...QUERY, dimensions: 4, returnMultivector: true }), { code: 'INPUT_INVALID' });
    }
  });

  test('reach the hosted API in its own words', async () => {
    const { api, options } = await world();
    const embedder = await createEmbedder(options('only-hosted'));
    const { embedding } = await embedder.encode('abc', { task: 'code.query', returnMultivector: true });
    assert.equal(embedding.rows, 3);
    assert.deepEqual(api.requests[0]?.body, { model: 'jina-embeddings-v4', input: ['abc'], task: 'code.query', embedding_type: 'base64', truncate: true, return_multivector: true });
    assert.deepEqual(await embedder.memory(), { gpu: 0, wasm: 0 });
  });
});

describe('availability with modes', () => {
  test('tells which side comes first, and why one is not there', async () => {
    const hosted = { baseURL: 'https://host.example/v1' };
    const model = ONE_FILE;
    const sourceIn = async (mode: Mode, device?: 'auto'): Promise<unknown> => (await availability({ model, hosted, mode, device })).source;
    // There is no WebGPU in these tests.
    assert.deepEqual([await sourceIn('prefer-local'), await sourceIn('prefer-local', 'auto'), await sourceIn('only-local'), await sourceIn('prefer-hosted'), await sourceIn('only-hosted')], ['hosted', 'local', 'local', 'hosted', 'hosted']);
    const bad = await availability({ mode: 'only-hosted', hosted: { baseURL: 'nowhere' } });
    assert.deepEqual([bad.source, bad.hosted.available, bad.hosted.reason?.code], [null, false, 'INPUT_INVALID']);
    assert.deepEqual((await availability({ model })).hosted, { available: false });
  });

  test('tells the licence of the weights before they are downloaded', async () => {
    const server = await files({});
    assert.deepEqual((await availability({ model: server.url })).licence, { model: 'tiny', licence: 'CC BY-NC 4.0' });
    assert.deepEqual(server.requests, ['GET model.json']);
  });
});

describe('the licence of the weights', () => {
  test('is told before the first of them is fetched', async () => {
    const server = await files({});
    const { options } = await world();
    const told: unknown[] = [];
    const events: string[] = [];
    await createEmbedder(options('only-local', {
      model: server.url,
      onLicence: (licence) => told.push(licence, [...server.requests]),
      onProgress: ({ status }) => events.push(status),
    }) as CreateOptions);
    assert.deepEqual(told[0], { model: 'tiny', licence: 'CC BY-NC 4.0' });
    assert.deepEqual(events.slice(0, 2), ['licence', 'initiate']);
  });

  test('is written to the console where nobody asks for it, once', async () => {
    const written: unknown[] = [];
    const original = console.info;
    console.info = (text: unknown) => void written.push(text);
    try {
      const server = await files({});
      for (let i = 0; i < 2; i += 1) {
        const { options } = await world();
        await createEmbedder(options('only-local', { model: server.url, onLicence: undefined }) as CreateOptions);
      }
      const { options } = await world();
      await createEmbedder(options('only-local', { onLicence: undefined }) as CreateOptions);
    } finally {
      console.info = original;
    }
    assert.equal(written.length, 2);
    assert.equal(written[0], 'jina-embeddings-web: the weights of tiny are under this licence: CC BY-NC 4.0');
    assert.match(String(written[1]), /is not stated beside them\. jina-embeddings-v4 is under the Qwen Research License/);
  });
});
