// What the public types promise, checked by the compiler: this file runs nothing that could fail. An
// `@ts-expect-error` whose line compiles is an error of its own.

import { test } from 'node:test';
import { createEmbedder, type Embedder, type EmbedderInfo, type EncodeResult, type HostedInfo, type MultiVector } from '../../www/lib/index.js';
import { createHostedEmbedder, type HostedEmbedder } from '../../www/lib/hosted/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only where the two types are one. */
const same = <A, B>(_proof: Equal<A, B>): void => undefined;
type Of<P> = P extends Promise<infer R> ? R : never;

/** Never called: its calls are there to be read by the compiler. */
async function local(embedder: Embedder): Promise<void> {
  const task = 'retrieval.query';
  const one = await embedder.encode('a', { task });
  same<typeof one.embedding, Float32Array>(true);
  const many = await embedder.encode(['a', { image: new Blob() }], { task, onInputError: 'null' });
  same<typeof many, EncodeResult<Float32Array | null>>(true);
  const tokens = await embedder.encode('a', { task, returnMultivector: true });
  same<typeof tokens.embedding, MultiVector>(true);
  const either = await embedder.encode('a', { task, returnMultivector: Math.random() > 0.5 });
  same<typeof either.embedding, Float32Array | MultiVector>(true);
  same<typeof one.source, 'local' | 'hosted'>(true);
  // @ts-expect-error the list has no embedding by itself
  many.embedding;
  // @ts-expect-error vectors are for something
  await embedder.encode('a', {});
  // @ts-expect-error a PDF is for the hosted API alone
  await embedder.encode({ pdf: 'https://host/a.pdf' }, { task });
  // @ts-expect-error no such task
  await embedder.encode('a', { task: 'retrieval' });
}

async function hosted(embedder: HostedEmbedder): Promise<void> {
  same<Of<ReturnType<typeof one>>, Float32Array>(true);
  async function one(): Promise<Float32Array> {
    return (await embedder.encode('a')).embedding;
  }
  const bits = await embedder.encode(['a'], { embeddingType: 'ubinary' });
  same<typeof bits.embeddings, Uint8Array[]>(true);
  const signed = await embedder.encode('a', { embeddingType: 'binary' });
  same<typeof signed.embedding, Int8Array>(true);
  const text = await embedder.encode('a', { embeddingType: 'base64', onInputError: 'null' });
  same<typeof text.embedding, string | null>(true);
  const forms = await embedder.encode('a', { embeddingType: ['float', 'ubinary'] });
  same<typeof forms.embedding, { readonly float: Float32Array; readonly ubinary: Uint8Array }>(true);
  const tokens = await embedder.encode('a', { returnMultivector: true, embeddingType: 'binary' });
  same<typeof tokens.embedding, MultiVector<Int8Array>>(true);
  await embedder.encode('a', { onProgress: ({ done, total }) => done / total });
  await embedder.encode({ pdf: new Blob() });
  // @ts-expect-error no such form
  await embedder.encode('a', { embeddingType: 'int8' });
}

async function creating(): Promise<void> {
  const alone = await createEmbedder({ model: '/model' });
  same<typeof alone, Embedder>(true);
  const either = await createEmbedder({ model: '/model', hosted: { baseURL: '/v1' }, onFallback: ({ code, from }) => `${code} ${from}` });
  same<typeof either, Embedder<EmbedderInfo | HostedInfo>>(true);
  const { info } = either;
  if (info.source === 'local') same<typeof info.device, 'webgpu' | 'wasm'>(true);
  else same<typeof info.baseURL, string>(true);
  // @ts-expect-error a mode that may be hosted needs `hosted`
  await createEmbedder({ model: '/model', mode: 'prefer-hosted' });
  // @ts-expect-error no model and no hosted API
  await createEmbedder({});
  createHostedEmbedder({ model: 'a-model-of-tomorrow' });
}

test('the public types promise what they did', () => void [local, hosted, creating]);
