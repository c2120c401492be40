// A page without a bundler, under a strict content security policy: files of the package by their addresses.
import { createEmbedder } from './node_modules/jina-embeddings-web/dist/index.js';

async function run() {
  const embedder = await createEmbedder({ model: '/model/', device: 'wasm', onLicence: () => undefined });
  const { embedding, source, device } = await embedder.encode('a sleeping cat', { task: 'retrieval.query' });
  await embedder.dispose();
  return [source, device, embedding.length];
}

globalThis.outcome = run();
