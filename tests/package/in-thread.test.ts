import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEmbedder } from '../../www/lib/index.js';
// The module that `#wasm` resolves to in these tests: one instance for the thread, as in a page.
import * as module from './support/fake-module.js';
import { ONE_FILE } from './support/loaded.js';
import { bytesOf, modelDirectory, serveFiles } from './support/model-server.js';

const QUERY = { task: 'retrieval.query' } as const;

test('worker: false loads and embeds in the calling thread, by the same messages', async () => {
  const server = await serveFiles(modelDirectory());
  const embedder = await createEmbedder({ model: server.url, worker: false });
  const buffer = bytesOf(6).buffer as ArrayBuffer;
  const { embeddings } = await embedder.encode(['abc', { image: buffer }], QUERY);
  assert.deepEqual(embeddings[0], Float32Array.of(3, 3, 3, 3));
  assert.equal(buffer.byteLength, 6);
  await embedder.dispose();
  assert.deepEqual(module.log.slice(-2), ['free embedder', 'destroy device']);
  await server.close();
});

test('a cancelled load in the calling thread stops its download and frees what it made', async () => {
  const server = await serveFiles({ ...modelDirectory(), 'vision.gguf': (_request, response) => void response.writeHead(200).write('GGUF') });
  const controller = new AbortController();
  const loading = createEmbedder({
    model: server.url, worker: false, signal: controller.signal,
    onProgress: (event) => { if (event.status === 'download' && event.file === 'vision.gguf') controller.abort(); },
  });
  await assert.rejects(loading, { name: 'AbortError' });
  // The server hears of it when the system tells it; a test that waits for ever fails by its limit.
  while (!server.cancelled.includes('vision.gguf')) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(module.log.slice(-2), ['free loader', 'destroy device']);
  await server.close();
});

test('without workers the default says what to do', async () => {
  await assert.rejects(createEmbedder({ model: ONE_FILE }), { code: 'WORKER_FAILED', message: /worker: false/, recoverable: false });
});

// Last, since nothing runs in this thread after it.
test('after a panic the module of the thread is not entered again', async () => {
  const embedder = await createEmbedder({ model: ONE_FILE, worker: false });
  module.emit({ type: 'panic', code: 'INTERNAL', message: 'index out of bounds' });
  await assert.rejects(embedder.encode('x', QUERY), { code: 'INTERNAL', message: 'index out of bounds' });
  const entries = module.log.length;
  await assert.rejects(createEmbedder({ model: ONE_FILE, worker: false }), { code: 'INTERNAL', message: /stopped earlier.*use a worker/, recoverable: false });
  assert.equal(module.log.length, entries);
});
