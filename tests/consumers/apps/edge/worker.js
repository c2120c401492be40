// An edge worker: the hosted client works there, and computing there is a clear error.
import { createEmbedder } from 'jina-embeddings-web';
import { createHostedEmbedder } from 'jina-embeddings-web/hosted';

export default {
  async fetch(_request, env) {
    const hosted = { baseURL: env.TEST_API, apiKey: 'jina_key_of_the_worker' };
    const { embedding, source } = await createHostedEmbedder(hosted).encode(['abc', { image: new Uint8Array([1, 2, 3]) }].slice(0, 1)).then(({ embeddings, ...result }) => ({ ...result, embedding: embeddings[0] }));
    const local = await createEmbedder({ model: 'https://host.example/model/', mode: 'only-local' }).then(() => 'loaded', ({ name, code }) => `${name} ${code}`);
    const reasons = [];
    const either = await createEmbedder({ model: 'https://host.example/model/', hosted, onFallback: ({ code }) => reasons.push(code) });
    const fallback = (await either.encode('abcd', { task: 'retrieval.query' })).source;
    return Response.json({ source, first: embedding[0], local, fallback, reasons });
  },
};
