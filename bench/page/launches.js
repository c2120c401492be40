// The page of bench/launches.mjs: calls of one text, and how many launches each makes.
import { createEmbedder } from '/jina-embeddings-web/index.js';

let nLaunches = 0;
const { dispatchWorkgroups } = GPUComputePassEncoder.prototype;
GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...counts) {
  nLaunches += 1;
  return dispatchWorkgroups.apply(this, counts);
};

let embedder;
globalThis.load = async (model) => {
  embedder = await createEmbedder({ model, device: 'webgpu', worker: false, parts: { images: false, multivector: false }, onLicence: () => undefined });
};

/** Launches of one call, the mean of `n` calls. */
globalThis.call = async (n, nTokens) => {
  nLaunches = 0;
  const text = Array(nTokens).fill('the').join(' ');
  for (let i = 0; i < n; i++) await embedder.encode(text, { task: 'retrieval.passage', maxLength: nTokens });
  return { launches: nLaunches / n, adapter: embedder.info.adapter?.name };
};
