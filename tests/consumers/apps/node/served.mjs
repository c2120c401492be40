// One model twice: computed here, and asked of `jina-embed serve`. `node served.mjs MODEL ADDRESS PICTURE`.
import { readFile } from 'node:fs/promises';
import { createEmbedder } from 'jina-embeddings-web';
import { createHostedEmbedder } from 'jina-embeddings-web/hosted';

const [model, baseURL, picture] = process.argv.slice(2);
const local = await createEmbedder({ model, device: 'wasm', onLicence: () => undefined });
const apiKey = 'a-key-of-one-s-own';
const served = createHostedEmbedder({ baseURL, apiKey, space: local.info.space });

const texts = ['a sleeping cat', 'Bread rises.', 'Größe, 大きさ, حجم'];
const image = { image: await readFile(picture) };
const cosine = (a, b) => {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) [ab, aa, bb] = [ab + a[i] * b[i], aa + a[i] * a[i], bb + b[i] * b[i]];
  return ab / Math.sqrt(aa * bb);
};

const report = {};
for (const [name, inputs, options] of [
  ['queries', texts, { task: 'retrieval.query' }],
  ['passages, shortened', texts, { task: 'retrieval.passage', dimensions: 32 }],
  ['code', texts, { task: 'code.passage' }],
  ['a picture and a text', [image, 'coffee'], { task: 'text-matching' }],
  ['tokens', texts, { task: 'retrieval.query', returnMultivector: true }],
  ['chunks', texts, { task: 'retrieval.passage', lateChunking: true }],
]) {
  const [here, there] = [await local.encode(inputs, options), await served.encode(inputs, options)];
  const valuesOf = (embedding) => (embedding instanceof Float32Array ? embedding : embedding.values);
  report[name] = {
    least: Math.min(...here.embeddings.map((embedding, i) => cosine(valuesOf(embedding), valuesOf(there.embeddings[i])))),
    sameSpace: here.space === there.space,
    sameTokens: here.usage.tokens === there.usage.tokens,
  };
}

const { embedding } = await served.encode('a sleeping cat', { task: 'retrieval.query', embeddingType: ['float', 'base64', 'binary', 'ubinary'] });
const bits = Array.from({ length: embedding.ubinary.length }, (_, byte) => Array.from({ length: 8 }, (_, bit) => (embedding.float[byte * 8 + bit] > 0 ? 128 >> bit : 0)).reduce((sum, value) => sum + value));
report.forms = {
  ubinary: bits.every((byte, i) => byte === embedding.ubinary[i]),
  binary: bits.every((byte, i) => byte - 128 === embedding.binary[i]),
  base64: Buffer.from(embedding.float.buffer).toString('base64') === embedding.base64,
};

const code = (promise) => promise.then(() => 'served', (error) => [error.code, error.data.status, error.data.code ?? null, typeof error.data.requestId]);
report.wrongKey = await code(createHostedEmbedder({ baseURL, apiKey: 'another' }).encode('x'));
report.noKey = await code(createHostedEmbedder({ baseURL }).encode('x'));
report.tooManyDimensions = await code(served.encode('x', { dimensions: 2048 }));
report.batches = (await createHostedEmbedder({ baseURL, apiKey, batchSize: 2 }).encode(texts, { task: 'retrieval.query' })).usage.requests;

// The hosted side comes first, and is not there: the same vectors, computed here.
const reasons = [];
const either = await createEmbedder({ model, device: 'wasm', mode: 'prefer-hosted', hosted: { baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0 }, onFallback: ({ code }) => reasons.push(code), onLicence: () => undefined });
report.fallback = [(await either.encode('x', { task: 'retrieval.query' })).source, ...reasons];

await Promise.all([local.dispose(), either.dispose()]);
console.log(JSON.stringify(report));
