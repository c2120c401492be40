// wllama: llama.cpp in WebAssembly, from the same GGUF file.
import { Wllama } from '/wllama/index.js';

/** Lines of its log that tell where it computes. */
const TELLING = /webgpu|shader-f16|offload|buffer size/i;

export async function open({ model, device, threads, maxTokens }) {
  const notes = [];
  const note = (...parts) => {
    const line = parts.map(String).join(' ').trim();
    if (TELLING.test(line) && !notes.includes(line)) notes.push(line);
  };
  const wllama = new Wllama({ default: '/wllama/wasm/wllama.wasm' }, { logger: { debug: note, log: note, warn: note, error: note } });
  // Its default would fetch another build from a CDN where it takes the browser for an old one.
  wllama.setCompat(null);
  const response = await fetch(model);
  await wllama.loadModel([await response.blob()], {
    embeddings: true,
    pooling_type: 'mean',
    n_ctx: maxTokens,
    n_batch: maxTokens,
    n_ubatch: maxTokens,
    n_parallel: 1,
    n_threads: threads,
    warmup: false,
    ...(device === 'wasm' && { n_gpu_layers: 0 }),
  });
  notes.unshift(`libllama ${Wllama.getLibllamaVersion()}, ${wllama.getNumThreads()} thread${wllama.getNumThreads() > 1 ? 's' : ''}`);
  return {
    notes,
    async embed({ ids }) {
      const { data, usage } = await wllama.createEmbedding({ input: ids });
      if (usage.prompt_tokens !== ids.length) throw new Error(`needed ${ids.length} tokens, found ${usage.prompt_tokens}`);
      return Float32Array.from(data[0].embedding);
    },
  };
}
