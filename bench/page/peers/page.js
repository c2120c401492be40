// Runs in the page: opens one engine and embeds what it is told, timing each call as a page meets it. Every engine
// is a module with
//
//   open(plan) -> { notes: string[], embed(input) -> Promise<Float32Array> }
//
//   plan   { model, onnx: addresses; device: 'webgpu' | 'wasm'; threads; maxTokens }
//   input  { text, ids }: a text and its tokens with the prefix, or { picture: [width, height] }
//
// `notes` says what the engine told about itself. A vector counts when it is here: on a GPU, once it was read back.

const ENGINES = { ours: './ours.js', ort: './ort.js', wllama: './wllama.js' };
let engine;

/** Opens the engine; returns what it says about itself, and how long it took. */
globalThis.openEngine = async (name, plan) => {
  const { open } = await import(ENGINES[name]);
  const began = performance.now();
  engine = await open(plan);
  return { notes: engine.notes, load_ms: performance.now() - began, isolated: globalThis.crossOriginIsolated };
};

/** One call: milliseconds and, since vectors of peers are compared, the vector with length 1. */
globalThis.embed = async (input) => {
  const began = performance.now();
  const vector = await engine.embed(input);
  const ms = performance.now() - began;
  const length = Math.hypot(...vector);
  return { ms, vector: Array.from(vector, (value) => value / length) };
};

/** What the browser offers, whoever asks. */
globalThis.adapter = async () => {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return null;
  const { vendor, architecture, device, description } = adapter.info;
  const isFallback = adapter.info.isFallbackAdapter ?? false;
  return { vendor, architecture, device, description, isFallback, features: [...adapter.features].sort() };
};
