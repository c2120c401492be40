// The adapters under the real libraries: what goes in, what comes out, and whose retries they are.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { VectorStore } from '@langchain/core/vectorstores';
import { cosineSimilarity, embed, embedMany } from 'ai';
import OpenAI from 'openai';
import { toEmbeddingModel } from '../../www/lib/adapters/ai-sdk.js';
import { JinaEmbeddings } from '../../www/lib/adapters/langchain.js';
import { toOpenAI, type CreateParams } from '../../www/lib/adapters/openai.js';
import { createHostedEmbedder } from '../../www/lib/hosted/index.js';
import { failing, hostedServer, vectorOf, type HostedServer } from './support/hosted-server.js';
import { load } from './support/loaded.js';

const closing: { close(): Promise<unknown> | void }[] = [];
after(() => Promise.all(closing.map((server) => server.close())));

async function hosted(...script: Parameters<typeof hostedServer>): Promise<{ server: HostedServer; embedder: ReturnType<typeof createHostedEmbedder> }> {
  const server = await hostedServer(...script);
  closing.push(server);
  return { server, embedder: createHostedEmbedder({ baseURL: server.url, maxRetries: 0 }) };
}

describe('the OpenAI shape', () => {
  test('answers what the real client would get of a server, for every encoding', async () => {
    const { embedder } = await load();
    const shape = toOpenAI(embedder, { task: 'text-matching' });
    // The adapter behind a server, the real client before it.
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        void shape.embeddings.create(JSON.parse(Buffer.concat(chunks).toString()) as CreateParams).then((body) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body)));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push({ close: () => (server.closeAllConnections(), void server.close()) });
    const client = new OpenAI({ apiKey: 'none', baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
    for (const body of [
      { model: 'm', input: 'abc' },
      { model: 'm', input: ['a', 'bb'], dimensions: 2 },
      { model: 'm', input: ['a', 'bb'], encoding_format: 'float' },
      { model: 'm', input: ['a'], encoding_format: 'base64' },
    ] as const) {
      const given = body as OpenAI.EmbeddingCreateParams;
      assert.deepEqual(JSON.parse(JSON.stringify(await shape.embeddings.create(given as CreateParams))), JSON.parse(JSON.stringify(await client.embeddings.create(given))));
    }
  });

  test("stands in for the client's own embeddings, to its types", async () => {
    const { embedder } = await hosted();
    const indexOf = async (client: { embeddings: { create(body: OpenAI.EmbeddingCreateParams): Promise<OpenAI.CreateEmbeddingResponse> } }): Promise<number[][]> =>
      (await client.embeddings.create({ model: 'any', input: ['abc', 'de'] })).data.map(({ embedding }) => embedding);
    assert.deepEqual(await indexOf(toOpenAI(embedder, { task: 'retrieval.passage' })), [vectorOf('abc'), vectorOf('de')]);
  });

  test('passes on task, dimensions and signal, and tells model and usage', async () => {
    const { server, embedder } = await hosted();
    const { embeddings } = toOpenAI(embedder, { task: 'retrieval.passage', dimensions: 4 });
    const response = await embeddings.create({ input: 'abc', task: 'code.query' });
    assert.deepEqual([server.requests[0]?.body['task'], server.requests[0]?.body['dimensions']], ['code.query', 4]);
    assert.deepEqual([response.object, response.model, response.usage], ['list', 'jina-embeddings-v4', { prompt_tokens: 4, total_tokens: 4 }]);
    await assert.rejects(embeddings.create({ input: 'abc' }, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  test('refuses token ids, unknown encodings and unknown tasks', async () => {
    const { embedder } = await hosted();
    const { embeddings } = toOpenAI(embedder, { task: 'text-matching' });
    await assert.rejects(embeddings.create({ input: [1, 2] }), { code: 'INPUT_INVALID', message: /token ids/ });
    await assert.rejects(embeddings.create({ input: 'a', encoding_format: 'int8' as 'float' }), { code: 'INPUT_INVALID', message: /encoding_format/ });
    await assert.rejects(embeddings.create({ input: 'a', task: 'other' as 'code.query' }), { code: 'INPUT_INVALID' });
    assert.throws(() => toOpenAI(embedder, {} as { task: 'code.query' }), { code: 'INPUT_INVALID', message: /option `task`/ });
  });
});

describe('the AI SDK model', () => {
  test('embeds one value and many, with usage and where they came from', async () => {
    const { embedder } = await load();
    const model = toEmbeddingModel(embedder, { task: 'retrieval.passage' });
    const one = await embed({ model, value: 'abc' });
    assert.deepEqual(one.embedding, [3, 3, 3, 3]);
    assert.equal(one.usage.tokens, 3);
    assert.deepEqual(one.providerMetadata?.['jina'], { source: 'local', space: 'space-of-the-file/retrieval/mean-l2/4' });
    const many = await embedMany({ model, values: ['a', 'bb', 'ccc'] });
    assert.deepEqual(many.embeddings.map((vector) => vector[0]), [1, 2, 3]);
    assert.equal(many.usage.tokens, 6);
    assert.equal(cosineSimilarity(many.embeddings[0] as number[], many.embeddings[1] as number[]), 1);
  });

  test('takes task and dimensions from the call, and its abort', async () => {
    const { server, embedder } = await hosted();
    const model = toEmbeddingModel(embedder, { task: 'retrieval.passage', dimensions: 8 });
    await embed({ model, value: 'abc', providerOptions: { jina: { task: 'retrieval.query', dimensions: 4 } } });
    assert.deepEqual([server.requests[0]?.body['task'], server.requests[0]?.body['dimensions']], ['retrieval.query', 4]);
    await assert.rejects(embed({ model, value: 'abc', abortSignal: AbortSignal.abort(), maxRetries: 0 }), { name: 'AbortError' });
    await assert.rejects(embed({ model, value: 'abc', providerOptions: { jina: { task: 'other' } }, maxRetries: 0 }), { code: 'INPUT_INVALID' });
  });

  test('fails with the error of the embedder', async () => {
    const { embedder } = await hosted(failing(401, { detail: 'Invalid API key' }));
    const model = toEmbeddingModel(embedder, { task: 'retrieval.query' });
    await assert.rejects(embed({ model, value: 'abc', maxRetries: 0 }), { code: 'HOSTED_AUTH' });
  });
});

/** The least vector store that LangChain's base class allows. */
class MemoryStore extends VectorStore {
  readonly #entries: { vector: number[]; document: Document }[] = [];
  _vectorstoreType(): string {
    return 'memory';
  }
  async addVectors(vectors: number[][], documents: Document[]): Promise<void> {
    vectors.forEach((vector, i) => this.#entries.push({ vector, document: documents[i] as Document }));
  }
  async addDocuments(documents: Document[]): Promise<void> {
    await this.addVectors(await this.embeddings.embedDocuments(documents.map(({ pageContent }) => pageContent)), documents);
  }
  async similaritySearchVectorWithScore(query: number[], k: number): Promise<[Document, number][]> {
    const distance = (vector: number[]): number => vector.reduce((sum, value, i) => sum + (value - (query[i] as number)) ** 2, 0);
    return this.#entries.map(({ vector, document }): [Document, number] => [document, distance(vector)]).sort((a, b) => a[1] - b[1]).slice(0, k);
  }
}

describe("LangChain's Embeddings", () => {
  test('serve a vector store and its retriever, each side with its task', async () => {
    const { server, embedder } = await hosted();
    const embeddings = new JinaEmbeddings({ embedder, dimensions: 8 });
    assert.ok(embeddings instanceof Embeddings);
    const store = new MemoryStore(embeddings, {});
    await store.addDocuments(['a', 'bbbb', 'cccccccc'].map((pageContent) => new Document({ pageContent })));
    const [found] = await store.asRetriever(1).invoke('qqqqq');
    assert.equal(found?.pageContent, 'bbbb');
    assert.deepEqual(server.requests.map(({ body }) => [body['task'], body['input'].length, body['dimensions']]), [['retrieval.passage', 3, 8], ['retrieval.query', 1, 8]]);
    assert.deepEqual(await embeddings.embedDocuments([]), []);
  });

  test('fail once with the error of the embedder, unless LangChain is asked to try again', async () => {
    const { server, embedder } = await hosted(failing(500, ''));
    await assert.rejects(new JinaEmbeddings({ embedder }).embedQuery('x'), { code: 'HOSTED_SERVER' });
    assert.equal(server.requests.length, 1);
    assert.throws(() => new JinaEmbeddings({ embedder, queryTask: 'search' as 'code.query' }), { code: 'INPUT_INVALID', message: /`queryTask`/ });
  });
});
