// Rendered on the server: importing the package does nothing there, and the hosted client works.
import { availability, createEmbedder } from 'jina-embeddings-web';
import { createHostedEmbedder } from 'jina-embeddings-web/hosted';
import { toOpenAI } from 'jina-embeddings-web/openai';
import { Search } from './search.jsx';

export const dynamic = 'force-dynamic';

export default async function Page() {
  const hosted = { baseURL: process.env.TEST_API, apiKey: 'jina_key_of_the_server' };
  const { source } = await availability({ mode: 'only-hosted', hosted });
  const { embedding } = await createHostedEmbedder(hosted).encode('abc');
  const embedder = await createEmbedder({ hosted });
  const { data } = await toOpenAI(embedder, { task: 'retrieval.query' }).embeddings.create({ input: 'abcd' });
  return <main><p id="server">{`${source} ${embedding[0]} ${data[0].embedding[0]}`}</p><Search /></main>;
}
