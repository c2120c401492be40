// A Worker that embeds by the hosted API and searches an index in its own memory.

import { createEdge, createEmbedder, isEmbedderError } from 'jina-embeddings-web/edge';

const DIMENSIONS = 512;
/** Started once, and shared by all requests of an isolate. */
let started;

async function start() {
  const edge = await createEdge();
  return { edge, index: undefined, tokenizer: undefined, pictures: edge.openPictures() };
}

/** Made for each request: workerd lets no request use what another one opened. It costs nothing. */
const connect = (env) => createEmbedder({ hosted: { apiKey: env.JINA_API_KEY, baseURL: env.EMBEDDINGS_URL } });

export default {
  async fetch(request, env) {
    // A start that failed is tried again by the next request.
    started ??= start().catch((error) => {
      started = undefined;
      throw error;
    });
    try {
      return await answer(request, env, await started);
    } catch (error) {
      if (!isEmbedderError(error)) throw error;
      const status = error.code.startsWith('HOSTED_') ? 502 : 400;
      return Response.json({ error: { code: error.code, message: error.message } }, { status });
    }
  },
};

async function answer(request, env, state) {
  const url = new URL(request.url);
  switch (`${request.method} ${url.pathname}`) {
    case 'PUT /items': {
      const items = await request.json();
      const texts = items.map(({ text }) => text);
      const embedder = await connect(env);
      const { embeddings, space } = await embedder.encode(texts, { task: 'retrieval.passage', dimensions: DIMENSIONS });
      // The first vectors say in which space all others have to lie.
      state.index ??= state.edge.createIndex({ dimensions: DIMENSIONS, space, firstStage: { kind: 'int8' } });
      const fields = items.map(({ text, fields }) => ({ ...fields, text }));
      return Response.json(state.index.upsert({ ids: items.map(({ id }) => id), vectors: embeddings, space, fields }));
    }
    case 'GET /search': {
      if (state.index === undefined) return Response.json({ hits: [] });
      const question = url.searchParams.get('q') ?? '';
      const embedder = await connect(env);
      const { embedding, space, usage } = await embedder.encode(question, { task: 'retrieval.query', dimensions: DIMENSIONS });
      const k = Number(url.searchParams.get('k') ?? 5);
      return Response.json({ hits: state.index.search({ vector: embedding, space, k }), usage });
    }
    case 'GET /index':
      if (state.index === undefined) return new Response(null, { status: 404 });
      return new Response(new Blob([...state.index.file()]));
    case 'PUT /index': {
      const opened = state.edge.openIndex(new Uint8Array(await request.arrayBuffer()));
      state.index?.free();
      state.index = opened;
      return Response.json({ items: opened.size });
    }
    case 'PUT /tokenizer':
      state.tokenizer = state.edge.openTokenizer(new Uint8Array(await request.arrayBuffer()));
      return Response.json({ vocabulary: state.tokenizer.vocabularySize });
    case 'POST /tokens': {
      if (state.tokenizer === undefined) return new Response(null, { status: 404 });
      const { text, task } = await request.json();
      return Response.json({ tokens: state.tokenizer.count(text, { task }) });
    }
    case 'POST /picture': {
      const { width, height } = state.edge.decodePicture(new Uint8Array(await request.arrayBuffer()));
      return Response.json(state.pictures.size(width, height));
    }
    case 'GET /local':
      await createEmbedder({ mode: 'only-local', hosted: { apiKey: env.JINA_API_KEY, baseURL: env.EMBEDDINGS_URL } });
      return new Response(null, { status: 500 });
    default:
      return new Response(null, { status: 404 });
  }
}
