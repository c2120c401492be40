// Runs in the page: loads a model with the built package, and times calls as a page meets them, the way to the worker
// and back included. The same inputs and the same order as `jina-embed bench`.
import { createEmbedder } from '/jina-embeddings-web/index.js';

/** Sides of the picture: a multiple of the 28 pixels of a token, so that nothing is resized. */
const PICTURE_PX = 336;

/** To the microsecond: further digits are noise. */
const round = (ms) => Math.round(ms * 1e3) / 1e3;

/** A picture with something in every patch, the same every time. */
function picture() {
  const image = new ImageData(PICTURE_PX, PICTURE_PX);
  for (let y = 0; y < PICTURE_PX; y += 1) {
    for (let x = 0; x < PICTURE_PX; x += 1) image.data.set([x % 256, y % 256, (x ^ y) % 256, 255], 4 * (y * PICTURE_PX + x));
  }
  return image;
}

async function measure(embedder, name, input, options, n) {
  const call = async () => {
    const began = performance.now();
    const { usage } = await embedder.encode(input, options);
    return { ms: performance.now() - began, tokens: usage.tokens };
  };
  const { ms: first_ms, tokens } = await call();
  const times = [];
  for (let i = 0; i < n; i += 1) times.push((await call()).ms);
  times.sort((a, b) => a - b);
  const median_ms = (times[(n - 1) >> 1] + times[n >> 1]) / 2;
  return { input: name, tokens, first_ms: round(first_ms), min_ms: round(times[0]), median_ms: round(median_ms), n };
}

/**
 * @param {{ model: string, device: 'webgpu' | 'wasm', tokens: number[], picture: boolean, repeats: number }} plan
 *   `tokens`: lengths of the texts, the task's prefix included
 */
globalThis.bench = async (plan) => {
  const began = performance.now();
  const embedder = await createEmbedder({ model: plan.model, device: plan.device, parts: { images: plan.picture, multivector: false } });
  const load_ms = round(performance.now() - began);
  const task = embedder.info.model.tasks.includes('retrieval') ? 'retrieval.passage' : 'text-matching';
  const measurements = [];
  for (const n_tokens of plan.tokens) {
    // Each word is a token at least, so the cut makes the length exact.
    const text = Array(n_tokens).fill('the').join(' ');
    const measured = await measure(embedder, 'text', text, { task, maxLength: n_tokens }, plan.repeats);
    if (measured.tokens !== n_tokens) throw new Error(`needed a text of ${n_tokens} tokens, found one of ${measured.tokens}`);
    measurements.push(measured);
  }
  if (plan.picture) measurements.push(await measure(embedder, `picture ${PICTURE_PX}x${PICTURE_PX}`, { image: picture() }, { task }, plan.repeats));
  const { adapter, model, space } = embedder.info;
  const memory = await embedder.memory();
  await embedder.dispose();
  return { adapter, model: { name: space, file_bytes: model.nBytes, hidden_size: model.hiddenSize }, load_ms, measurements, memory };
};
