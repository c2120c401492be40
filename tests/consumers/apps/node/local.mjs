// Local inference in Node: `node local.mjs MODEL DEVICE`, on the CPU or, through `webgpu`, on a GPU.
import { availability, createEmbedder, isEmbedderError } from 'jina-embeddings-web';

const [model, device] = process.argv.slice(2);
const globals = Object.getOwnPropertyNames(globalThis).length;
const possible = await availability({ model, device });
const embedder = await createEmbedder({ model, device, onLicence: () => undefined });
const { embeddings, ...result } = await embedder.encode(['a sleeping cat', 'Bread rises.'], { task: 'retrieval.query' });
const outside = await embedder.encode({ image: new URL(import.meta.url) }, { task: 'retrieval.query' }).catch((error) => isEmbedderError(error) && error.message);
await embedder.dispose();
console.log(JSON.stringify({
  possible: possible.device,
  device: result.device,
  vectors: embeddings.map((embedding) => Array.from(embedding)),
  outside,
  leftGlobals: device === 'wasm' ? Object.getOwnPropertyNames(globalThis).length - globals : Number('WorkerGlobalScope' in globalThis),
}));
