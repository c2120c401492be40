// What must never happen is a promise that hangs or a number that is stale. Each test lets one part die.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createEmbedder } from '../../www/lib/index.js';
import { PROTOCOL } from '../../www/lib/worker/protocol.js';
import { fakeFace, trap } from './support/fake-face.js';
import { silentWorker, workerWith } from './support/fake-worker.js';
import { load, ONE_FILE, pause } from './support/loaded.js';

const QUERY = { task: 'retrieval.query' } as const;
const never = (): Promise<void> => new Promise(() => undefined);

describe('while the model computes', () => {
  const events = [
    { event: { type: 'lost', code: 'DEVICE_LOST', message: 'the device was lost' }, code: 'DEVICE_LOST' },
    { event: { type: 'error', code: 'GPU_ERROR', message: 'the shader was refused' }, code: 'GPU_ERROR' },
    { event: { type: 'error', code: 'OUT_OF_MEMORY', message: 'the buffer was refused' }, code: 'OUT_OF_MEMORY' },
    { event: { type: 'panic', code: 'PANIC', message: 'index out of bounds' }, code: 'INTERNAL' },
  ] as const;
  for (const { event, code } of events) {
    test(`the event ${event.code} rejects the running call, the waiting ones and all later ones`, async () => {
      const { embedder, face, worker } = await load({ beforeEncode: never });
      const calls = [embedder.encode('running', QUERY), embedder.encode('waiting', QUERY)];
      await pause();
      face.emit(event);
      for (const call of [...calls, embedder.encode('later', QUERY), embedder.memory()]) {
        await assert.rejects(call, { name: 'EmbedderError', code, message: event.message, recoverable: true });
      }
      await assert.rejects(embedder.encode('still later', QUERY), { code });
      assert.equal(worker.terminated, true);
      await embedder.dispose();
    });
  }

  test('a trap is an internal error, and ends the embedder', async () => {
    const { embedder } = await load({ beforeEncode: () => { throw trap(); } });
    await assert.rejects(embedder.encode('x', QUERY), { code: 'INTERNAL', message: /unreachable executed/, recoverable: true });
    await assert.rejects(embedder.encode('y', QUERY), { code: 'INTERNAL' });
  });

  for (const [what, event] of [
    ['a trap that escapes', { type: 'error', fields: { error: trap() } }],
    ['a trap in a promise that nobody holds', { type: 'unhandledrejection', fields: { reason: trap() } }],
    ['an exception that passed through the module', { type: 'error', fields: { error: null, message: 'Uncaught TypeError: unreachable executed' } }],
  ] as const) {
    test(`${what} ends the call that waits for it, and is no error of the page`, async () => {
      const { embedder, worker } = await load({ beforeEncode: never });
      const call = embedder.encode('x', QUERY);
      await pause();
      const uncaught = Object.assign(new Event(event.type, { cancelable: true }), event.fields);
      worker.scope.dispatchEvent(uncaught);
      await assert.rejects(call, { code: 'INTERNAL', message: /unreachable executed/, recoverable: true });
      await assert.rejects(embedder.encode('y', QUERY), { code: 'INTERNAL' });
      assert.equal(uncaught.defaultPrevented, true);
    });
  }

  test('an event between calls rejects the next one', async () => {
    const { embedder, face } = await load();
    await embedder.encode('x', QUERY);
    face.emit({ type: 'lost', code: 'DEVICE_LOST', message: 'gone' });
    await assert.rejects(embedder.encode('y', QUERY), { code: 'DEVICE_LOST' });
  });

  test('an event that arrives with the result withholds the result', async () => {
    const { embedder } = await load({
      beforeEncode() {
        queueMicrotask(() => face.emit({ type: 'error', code: 'GPU_ERROR', message: 'stale' }));
      },
    }).then((loaded) => ((face = loaded.face), loaded));
    await assert.rejects(embedder.encode('x', QUERY), { code: 'GPU_ERROR' });
  });
  let face: ReturnType<typeof fakeFace>;

  test('a failed allocation gives back all of the device, and the next call starts anew', async () => {
    let first = true;
    const faces: ReturnType<typeof fakeFace>[] = [];
    const worker = (): Worker => {
      faces.push(fakeFace({ beforeEncode: () => { if (first) { first = false; throw { code: 'OUT_OF_MEMORY', message: 'needed 3 GB' }; } } }));
      return workerWith(faces.at(-1) as ReturnType<typeof fakeFace>);
    };
    const embedder = await createEmbedder({ model: ONE_FILE, device: 'wasm', worker });
    await assert.rejects(embedder.encode('large', QUERY), { code: 'OUT_OF_MEMORY', message: 'needed 3 GB' });
    assert.deepEqual(faces[0]?.log.slice(-2), ['free embedder', 'destroy device']);
    assert.ok(await embedder.encode('small', QUERY));
    assert.equal(faces.length, 2);
  });

  test('an input that the device cannot hold is a bad input: the embedder stays, and so do the others', async () => {
    const { embedder } = await load({ beforeEncode: (inputs) => { if (inputs.length === 1) throw { code: 'OUT_OF_MEMORY', message: 'too long', inputs: [{ index: 0, code: 'OUT_OF_MEMORY', message: 'too long' }] }; } });
    await assert.rejects(embedder.encode('long', QUERY), { code: 'OUT_OF_MEMORY', inputs: [{ index: 0, code: 'OUT_OF_MEMORY', message: 'too long' }] });
    assert.ok(await embedder.encode(['a', 'b'], QUERY));
  });

  test('a new embedder can be made after one has failed', async () => {
    const { embedder, face } = await load();
    face.emit({ type: 'lost', code: 'DEVICE_LOST', message: 'gone' });
    await assert.rejects(embedder.encode('x', QUERY));
    const second = await load();
    assert.ok(await second.embedder.encode('x', QUERY));
  });
});

describe('while the model loads', () => {
  test('a lost device rejects, although the loader never answers', async () => {
    const face = fakeFace({ beforeFinish: never });
    const loading = createEmbedder({ model: ONE_FILE, device: 'wasm', worker: workerWith(face) });
    await pause(30);
    face.emit({ type: 'lost', code: 'DEVICE_LOST', message: 'gone' });
    await assert.rejects(loading, { code: 'DEVICE_LOST' });
  });

  test('a trap in the loader rejects', async () => {
    await assert.rejects(load({ onPush: () => { throw trap(); } }), { code: 'INTERNAL' });
  });

  test('a cancelled finish frees the model it made', async () => {
    const controller = new AbortController();
    const face = fakeFace({ beforeFinish: () => pause(30) });
    const loading = createEmbedder({ model: ONE_FILE, device: 'wasm', worker: workerWith(face), signal: controller.signal, onProgress: ({ status }) => { if (status === 'compile') controller.abort(); } });
    await assert.rejects(loading, { name: 'AbortError' });
  });

  test('a module that cannot start is WASM_INIT, and may be tried again', async () => {
    const { EmbedderError } = await import('../../www/lib/errors.js');
    const worker = workerWith(async () => { throw new EmbedderError('WASM_INIT', 'no module'); });
    await assert.rejects(createEmbedder({ model: ONE_FILE, worker }), { code: 'WASM_INIT', recoverable: true });
  });
});

describe('the choice of the device', () => {
  test('auto falls back to the CPU without WebGPU, and says why', async () => {
    const face = fakeFace();
    const { info } = await createEmbedder({ model: ONE_FILE, worker: workerWith(face) });
    assert.equal(info.device, 'wasm');
    assert.equal(info.deviceFallback?.code, 'WEBGPU_UNAVAILABLE');
    assert.match(info.deviceFallback?.message ?? '', /WebGPU/);
  });

  test('webgpu does not fall back', async () => {
    const worker = workerWith(fakeFace({ device: { webgpu: { code: 'NO_ADAPTER', message: 'no adapter' } } }));
    await assert.rejects(createEmbedder({ model: ONE_FILE, device: 'webgpu', worker }), { code: 'NO_ADAPTER' });
  });

  test('a form of the operations that does not exist is refused by name', async () => {
    const options = { model: ONE_FILE, kernels: 'fast', worker: workerWith(fakeFace()) } as unknown as Parameters<typeof createEmbedder>[0];
    await assert.rejects(createEmbedder(options), { code: 'INPUT_INVALID', message: /`kernels` must be "auto", "measure", "tiled" or "direct", not "fast"/ });
  });

  test('auto does not hide a failure that is none of the machine', async () => {
    const worker = workerWith(fakeFace({ device: { wasm: { code: 'INTERNAL', message: 'a defect' } } }));
    await assert.rejects(createEmbedder({ model: ONE_FILE, worker }), { code: 'INTERNAL', message: 'a defect' });
  });

  /** Runs `work` in a browser that answers so when it is asked for an adapter. */
  async function withAdapter(requestAdapter: () => Promise<unknown>, work: () => Promise<void>): Promise<void> {
    const navigator = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { gpu: { requestAdapter } } });
    try {
      await work();
    } finally {
      if (navigator === undefined) delete (globalThis as { navigator?: unknown }).navigator;
      else Object.defineProperty(globalThis, 'navigator', navigator);
    }
  }

  test('auto takes WebGPU where an adapter is offered, and the CPU where its limits do not do', () => withAdapter(async () => ({}), async () => {
    const good = await createEmbedder({ model: ONE_FILE, worker: workerWith(fakeFace()) });
    assert.equal(good.info.device, 'webgpu');
    assert.equal(good.info.deviceFallback, undefined);
    const small = await createEmbedder({ model: ONE_FILE, worker: workerWith(fakeFace({ device: { webgpu: { code: 'LIMITS_INSUFFICIENT', message: 'bindings of 1 byte' } } })) });
    assert.equal(small.info.device, 'wasm');
    assert.deepEqual(small.info.deviceFallback, { code: 'LIMITS_INSUFFICIENT', message: 'bindings of 1 byte' });
  }));

  test('auto asks for an adapter once more, since a browser that is starting has none yet', async () => {
    let asked = 0;
    await withAdapter(async () => (++asked === 1 ? null : {}), async () => {
      const embedder = await createEmbedder({ model: ONE_FILE, worker: workerWith(fakeFace()) });
      assert.equal(embedder.info.device, 'webgpu');
    });
    assert.equal(asked, 2);
  });
});

describe('a worker', () => {
  test('that never speaks fails after the timeout, and is ended', async () => {
    const worker = silentWorker();
    await assert.rejects(createEmbedder({ model: ONE_FILE, worker, initTimeout: 30 }), { code: 'WORKER_FAILED', message: /silent for 30 ms/ });
    assert.equal(worker.terminated, true);
  });

  test('whose module never starts fails after the timeout', async () => {
    const worker = workerWith(() => new Promise(() => undefined));
    await assert.rejects(createEmbedder({ model: ONE_FILE, worker, initTimeout: 50 }), { code: 'WORKER_FAILED' });
  });

  test('is not timed once its device is ready', async () => {
    const { embedder } = await load({ beforeFinish: () => pause(1500) }, { initTimeout: 1000 });
    assert.ok(embedder);
  });

  test('whose script fails rejects with what it said', async () => {
    const worker = silentWorker();
    const loading = createEmbedder({ model: ONE_FILE, worker });
    await pause();
    worker.dispatchEvent(Object.assign(new Event('error', { cancelable: true }), { message: 'SyntaxError', filename: 'worker.js', lineno: 3 }));
    await assert.rejects(loading, { code: 'WORKER_FAILED', message: 'The worker failed: SyntaxError (worker.js:3)' });
  });

  test('whose script is missing says so', async () => {
    const worker = silentWorker();
    const loading = createEmbedder({ model: ONE_FILE, worker });
    await pause();
    worker.dispatchEvent(new Event('error'));
    await assert.rejects(loading, { code: 'WORKER_FAILED', message: 'The worker failed: its script could not be loaded' });
  });

  test('that dies later rejects every pending call', async () => {
    const { embedder, worker } = await load({ beforeEncode: never });
    const calls = [embedder.encode('a', QUERY), embedder.encode('b', QUERY)];
    await pause();
    worker.dispatchEvent(new Event('error'));
    for (const call of calls) await assert.rejects(call, { code: 'WORKER_FAILED', recoverable: true });
    await assert.rejects(embedder.encode('c', QUERY), { code: 'WORKER_FAILED' });
  });

  test('whose message cannot be read rejects every pending call', async () => {
    const { embedder, worker } = await load({ beforeEncode: never });
    const call = embedder.encode('a', QUERY);
    await pause();
    worker.dispatchEvent(new MessageEvent('messageerror'));
    await assert.rejects(call, { code: 'WORKER_FAILED' });
  });

  test('of another version is recognised', async () => {
    const worker = silentWorker();
    const loading = createEmbedder({ model: ONE_FILE, worker });
    await pause();
    worker.dispatchEvent(new MessageEvent('message', { data: { protocol: 'jina-embeddings-web/0', type: 'hello' } }));
    await assert.rejects(loading, { code: 'WORKER_FAILED', message: /speaks jina-embeddings-web\/0/ });
  });

  test('that sends nonsense in our name is refused, and what others send is ignored', async () => {
    const { embedder, worker } = await load({ beforeEncode: never });
    const call = embedder.encode('a', QUERY);
    await pause();
    worker.dispatchEvent(new MessageEvent('message', { data: { type: 'vite:hmr' } }));
    worker.dispatchEvent(new MessageEvent('message', { data: 'hello' }));
    worker.dispatchEvent(new MessageEvent('message', { data: { protocol: PROTOCOL, type: 'result', id: 'x' } }));
    await assert.rejects(call, { code: 'WORKER_FAILED', message: /malformed message of type "result"/ });
  });
});

describe('dispose', () => {
  test('frees model and device, ends the worker, and may be called twice', async () => {
    const { embedder, face, worker } = await load();
    await Promise.all([embedder.dispose(), embedder.dispose()]);
    await embedder[Symbol.asyncDispose]();
    assert.deepEqual(face.log.slice(-2), ['free embedder', 'destroy device']);
    assert.equal(worker.terminated, true);
  });

  test('rejects what runs, what waits and what comes, with DISPOSED', async () => {
    const { embedder, face } = await load({
      beforeEncode: async (_inputs, isAborted) => {
        while (!isAborted()) await pause(1);
      },
    });
    const calls = [embedder.encode('running', QUERY), embedder.encode('waiting', QUERY)];
    await pause();
    const disposing = embedder.dispose();
    for (const call of [...calls, embedder.encode('later', QUERY), embedder.memory()]) await assert.rejects(call, { code: 'DISPOSED' });
    await disposing;
    assert.deepEqual(face.log.slice(-2), ['free embedder', 'destroy device']);
  });
});
