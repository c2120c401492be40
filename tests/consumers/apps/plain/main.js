// A page without a bundler, under a strict content security policy: files of the package by their addresses.
import { createEmbedder } from './node_modules/jina-embeddings-web/dist/index.js';
import { createHostedEmbedder } from './node_modules/jina-embeddings-web/dist/hosted.js';
import { createIndex } from './node_modules/jina-embeddings-web/dist/search.js';

const task = 'retrieval.query';

async function computeHere() {
  const embedder = await createEmbedder({ model: '/model/', device: 'wasm', onLicence: () => undefined });
  const { embedding, source, device } = await embedder.encode('a sleeping cat', { task });
  await embedder.dispose();
  return [source, device, embedding.length];
}

/** In a worker and in this thread, where there are no sync access handles. */
async function search() {
  const found = [];
  for (const worker of [undefined, false]) {
    const index = await createIndex({ worker });
    await index.update([{ id: 'a', space: 's', passages: [{ text: 'alpha', vector: Float32Array.of(1, 0) }] }, { id: 'b', space: 's', passages: [{ text: 'beta', vector: Float32Array.of(0, 1) }] }]);
    const { hits } = await index.search({ vector: Float32Array.of(0, 1), space: 's', text: 'beta' });
    found.push([(await index.info()).storage, hits.map(({ id }) => id).join()]);
    await index.close();
  }
  return found;
}

/** Pictures in every form that only a page has. */
async function askTheApi() {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [40, 30];
  const context = canvas.getContext('2d');
  context.fillStyle = '#c0ffee';
  context.fillRect(5, 5, 20, 20);
  const offscreen = new OffscreenCanvas(8, 8);
  offscreen.getContext('2d').fillRect(0, 0, 8, 4);
  const inputs = [
    { image: 'https://elsewhere.example/cat.jpg' },
    { image: 'coffee.jpg' },
    { image: canvas },
    { image: await createImageBitmap(canvas) },
    { image: context.getImageData(0, 0, 40, 30) },
    { image: offscreen },
  ];
  const { source, embeddings, usage } = await createHostedEmbedder({ baseURL: '/v1' }).encode(inputs, { task });
  return [source, embeddings.length, usage.images];
}

function giveAKey() {
  try {
    return createHostedEmbedder({ apiKey: 'jina_of_a_page' }).info;
  } catch (error) {
    return error.code;
  }
}

/** Without an adapter for WebGPU: by default the hosted API is asked rather than the CPU. */
async function fallBack() {
  let reason;
  const embedder = await createEmbedder({ model: '/model/', hosted: { baseURL: '/v1' }, onFallback: ({ code }) => (reason = code), onLicence: () => undefined });
  const { source } = await embedder.encode('abc', { task });
  return [source, reason];
}

async function run() {
  const hosted = await askTheApi();
  return { local: await computeHere(), found: await search(), hosted, refused: giveAKey(), fallback: await fallBack() };
}

globalThis.outcome = run();
