// Runs in the page: calls the built package as any page would, and puts results and errors into a form that crosses to
// the test. `support/lab.ts` is the other end.
import { availability, cachedWeights, clearWeights, createEmbedder, forgetDevice } from '/jina-embeddings-web/index.js';

/** @type {Map<string, import('/jina-embeddings-web/index.js').Embedder>} */
const embedders = new Map();
/** @type {Map<string, AbortController>} */
const controllers = new Map();

/** Every outcome as data: a rejected promise would lose the error's fields on the way to the test. */
async function settle(run) {
  try {
    return { value: await run() };
  } catch (error) {
    const { name, code, message, recoverable } = error;
    return { error: { name, code, message, recoverable, inputs: error.inputs ?? [] } };
  }
}

async function bytesOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.blob();
}

/** `{image}` and `{imageBytes}` become blobs, `{pixels}` an ImageData, `{bitmap}` an ImageBitmap, `{canvas}` a canvas. */
async function realInput(input) {
  if (typeof input !== 'object' || 'text' in input) return input;
  if ('image' in input) return { image: await bytesOf(input.image) };
  if ('address' in input) return { image: new URL(input.address, location.href) };
  if ('imageBytes' in input) return { image: new Blob([Uint8Array.from(input.imageBytes)], { type: input.type ?? 'image/png' }) };
  if ('blank' in input) return { image: new ImageData(input.blank[0], input.blank[1]) };
  if ('drawn' in input) {
    const bitmap = await createImageBitmap(await bytesOf(input.drawn), { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
    if (input.as === 'ImageBitmap') return { image: bitmap };
    const canvas = input.as === 'OffscreenCanvas' ? new OffscreenCanvas(bitmap.width, bitmap.height) : document.createElement('canvas');
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    return { image: input.as === 'ImageData' ? context.getImageData(0, 0, canvas.width, canvas.height) : canvas };
  }
  return input;
}

function base64(values) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

function portable(result) {
  const vector = (embedding) => {
    if (embedding === null) return null;
    return embedding instanceof Float32Array
      ? { base64: base64(embedding), rows: 1 }
      : { base64: base64(embedding.values), rows: embedding.rows };
  };
  const { embeddings, dimensions, space, source, device, usage, errors, timings } = result;
  return { embeddings: embeddings.map(vector), dimensions, space, source, device, usage, errors, timings };
}

function embedder(name) {
  const found = embedders.get(name);
  if (!found) throw new Error(`the lab has no embedder "${name}"`);
  return found;
}

function withSignal({ signal, ...options }) {
  if (!signal) return options;
  const controller = controllers.get(signal) ?? new AbortController();
  controllers.set(signal, controller);
  return { ...options, signal: controller.signal };
}

/** A store of the page's own, that keeps what it is given in this page's memory. */
const memory = new Map();
const memoryStore = {
  names: async () => [...memory.keys()],
  get: async (name) => memory.get(name)?.slice(),
  put: async (name, bytes) => void memory.set(name, bytes.slice()),
  delete: async (name) => void memory.delete(name),
};

/** `cache: 'own'` is the page's own store, `ownFetch` its own `fetch`, and `asFiles` makes files of the model's addresses. */
async function withOwn({ cache, ownFetch, asFiles, model, ...options }) {
  const file = async (url) => new File([await bytesOf(url)], url.split('/').at(-1));
  return {
    ...options,
    model: asFiles ? Object.fromEntries(await Promise.all(Object.entries(model).map(async ([role, url]) => [role, await file(url)]))) : model,
    ...(cache !== undefined && { cache: cache === 'own' ? memoryStore : cache }),
    ...(ownFetch && { fetch: (url, init) => fetch(url, init) }),
  };
}

globalThis.lab = {
  availability: (options) => settle(() => availability(options)),
  forgetDevice: () => settle(() => forgetDevice()),

  load: (name, { progress = false, ...options }) => settle(async () => {
    const events = [];
    const fallbacks = [];
    const told = { onFallback: ({ code, message }) => fallbacks.push({ code, message }) };
    const made = await createEmbedder({ ...withSignal(await withOwn(options)), ...told, ...(progress && { onProgress: (event) => events.push(event) }) });
    embedders.set(name, made);
    return { info: made.info, events, fallbacks };
  }),

  encode: (name, inputs, options) => settle(async () => {
    const real = Array.isArray(inputs) ? await Promise.all(inputs.map(realInput)) : await realInput(inputs);
    return portable(await embedder(name).encode(real, withSignal(options)));
  }),

  /** Calls of one task that are all under way at once. */
  encodeTogether: (name, lists, options) => settle(() =>
    Promise.all(lists.map(async (inputs) => portable(await embedder(name).encode(await Promise.all(inputs.map(realInput)), options))))),

  /** Aborts `after_ms` from now; the signal is named, and used by a call under way. */
  abort: (signal, after_ms = 0) => {
    const controller = controllers.get(signal) ?? new AbortController();
    controllers.set(signal, controller);
    if (after_ms === 0) controller.abort();
    else setTimeout(() => controller.abort(), after_ms);
  },

  cached: (options) => settle(async () => cachedWeights(options)),
  clear: (options) => settle(async () => clearWeights(options)),
  ownKept: () => [...memory.values()].reduce((sum, { length }) => sum + length, 0),

  memory: (name) => settle(() => embedder(name).memory()),
  dispose: (name) => settle(() => embedder(name).dispose()),
};
