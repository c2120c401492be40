// What the page keeps on this device: how much, out of it in the forms of other programs, and away with it.
import { cachedWeights, clearWeights } from 'jina-embeddings-web';
import { el, setText } from './dom';
import { sentenceFor } from './errors';
import { bytes, count } from './format';
import type { Library } from './library';

export function wireStorage(library: Library, tell: (sentence: string) => void): void {
  const guarded = (id: string, run: () => Promise<void>): void => el(id).addEventListener('click', () => void run().then(() => tell(''), (error: unknown) => tell(sentenceFor(error))));
  guarded('export-index', async () => { if (library.index) save('light-table.index', await library.index.export()); });
  guarded('export-npy', async () => {
    const { vectors, rows } = await library.index?.exportNpy() ?? {};
    if (vectors) save('vectors.npy', new Blob([vectors]));
    if (rows) save('rows.json', new Blob([JSON.stringify(rows, null, 1)], { type: 'application/json' }));
  });
  guarded('export-qdrant', async () => {
    const exported = await library.index?.exportQdrant();
    if (!exported) return;
    const lines = [JSON.stringify({ collection: exported.collection })];
    for await (const batch of exported.batches) lines.push(JSON.stringify(batch));
    save('qdrant.jsonl', new Blob([lines.join('\n')]));
  });
  guarded('forget', async () => {
    await library.forget();
    await clearWeights();
    // The page's own files stay: without them it would no longer open offline.
    for (const name of await caches.keys()) if (name.startsWith('light-table') && !name.startsWith('light-table-page-')) await caches.delete(name);
    location.reload();
  });
}

export async function showStorage(library: Library): Promise<void> {
  const [estimate, info, weights] = await Promise.all([
    navigator.storage?.estimate?.().catch(() => undefined),
    library.index?.info().catch(() => undefined),
    cachedWeights().catch(() => undefined),
  ]);
  const parts = [
    weights?.nBytes ? `Weights: ${count(weights.files.length, 'file')}, ${bytes(weights.nBytes)}.` : '',
    info ? `Index: ${info.documents} documents, ${bytes(info.fileBytes)} (${STORAGE_NAMES[info.storage]}).` : 'No index yet.',
    estimate?.usage === undefined ? '' : `In all ${bytes(estimate.usage)} on this device.`,
    library.shelf.full ? 'The browser’s storage is full: what was added last is kept for this visit only.' : library.shelf.lasts ? '' : 'This browser keeps nothing of this page after the visit.',
  ];
  setText('storage', parts.filter(Boolean).join(' '));
}

const STORAGE_NAMES = { opfs: 'private file system', indexeddb: 'IndexedDB', memory: 'memory only' } as const;

function save(name: string, blob: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
