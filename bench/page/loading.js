// The page of bench/loading.mjs: loads a model by the package, and hands other work to a worker.
import { clearWeights, createEmbedder } from '/jina-embeddings-web/index.js';

/** When each event came first, in milliseconds of the clock of the day. */
globalThis.loadModel = async (model, device) => {
  const times = {};
  const now = () => performance.timeOrigin + performance.now();
  const start = now();
  const events = [];
  const embedder = await createEmbedder({
    model, device, onLicence: () => undefined,
    onProgress: ({ status, code }) => {
      times[status] ??= now();
      if (status === 'uncached') events.push(code);
    },
  });
  const total = now() - start;
  const memory = await embedder.memory();
  const { nBytes } = embedder.info.model;
  await embedder.dispose();
  return { times, total, memory, nBytes, uncached: events };
};

/** Runs one of the worker's measurements in a worker of its own. */
globalThis.inWorker = (name, ...given) => new Promise((resolve, reject) => {
  const worker = new Worker('loading-worker.js', { type: 'module' });
  worker.onmessage = ({ data }) => (worker.terminate(), data.error ? reject(new Error(data.error)) : resolve(data.value));
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage({ name, given });
});
globalThis.clearWeights = clearWeights;
globalThis.isReady = true;

/** A browser that nobody inspects is told in its address where the answer goes, how long to rest first, and what to measure. */
if (location.hash !== '') {
  const [answer, settleMs, name, ...given] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  await new Promise((done) => setTimeout(done, settleMs));
  const work = name === 'loadModel' ? globalThis.loadModel(...given) : globalThis.inWorker(name, ...given);
  const result = await work.then((value) => ({ value }), (error) => ({ error: String(error.stack ?? error) }));
  await fetch(answer, { method: 'POST', body: JSON.stringify(result) });
}
