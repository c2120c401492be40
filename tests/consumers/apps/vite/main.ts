// What a page built by Vite does with the package: the worker's file, the module and the hosted client must
// all be found where the bundler has put them.
import { availability, createEmbedder } from 'jina-embeddings-web';
import { createHostedEmbedder } from 'jina-embeddings-web/hosted';
import { createIndex } from 'jina-embeddings-web/search';

async function run(): Promise<unknown> {
  const possible = await availability({ model: '/model/', device: 'wasm' });
  const embedder = await createEmbedder({ model: '/model/', device: 'wasm', onLicence: () => undefined });
  const local = await embedder.encode(['a sleeping cat', 'Bread rises.'], { task: 'retrieval.query' });
  // Its worker, its module, and the script for Markdown, which is loaded when the first such document comes.
  const index = await createIndex({ embedder });
  await index.add([{ id: 'cat', text: 'A cat sleeps.' }, { id: 'bread', markdown: '# Bread\n\nIt *rises*.' }]);
  const { hits, mode } = await index.search('bread rises');
  const { storage } = await index.info();
  await index.close();
  await embedder.dispose();
  const fallback = await createEmbedder({ model: '/nowhere/', mode: 'prefer-local', device: 'wasm', hosted: { baseURL: '/v1' }, onLicence: () => undefined });
  const hosted = await fallback.encode('abc', { task: 'retrieval.query' });
  const direct = await createHostedEmbedder({ baseURL: '/v1' }).encode('abcd');
  return {
    device: possible.device,
    local: [local.source, local.device, local.embeddings.map((embedding) => embedding.reduce((sum, x) => sum + x * x, 0))],
    search: [mode, storage, hits.map(({ id, passage }) => `${id}: ${passage.text}`)],
    hosted: [hosted.source, hosted.embedding[0], direct.embedding[0]],
  };
}

(globalThis as { outcome?: Promise<unknown> }).outcome = run();
