'use client';

// Rendered on the server too, before the browser takes over.
import { compareSpaces, createEmbedder } from 'jina-embeddings-web';

export function Search() {
  return <button type="button" onClick={() => createEmbedder({ model: '/model/' })}>{compareSpaces('a', 'a')}</button>;
}
