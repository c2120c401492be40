// Many documents: batches, changes, pause, cancel, and results meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IngestProgress, SearchDocument } from '../../www/lib/search/index.js';
import { FakeDisk, openIndex } from './support/search-fakes.js';
import { deferred } from './support/loaded.js';

const NOTES: SearchDocument[] = Array.from({ length: 10 }, (_, i) => ({ id: `n${i}`, text: `note number ${i}` }));
const code = (wanted: string) => (error: unknown): boolean => (error as { code?: string }).code === wanted;

test('every batch is searchable and on the disk while the next one is embedded', async () => {
  const { index, embedder, disk } = await openIndex();
  const reached = deferred();
  const held = deferred();
  embedder.before = async (inputs) => {
    if (!inputs.some((input) => typeof input === 'object' && 'text' in input && input.text.endsWith('4'))) return;
    reached.resolve();
    await held.promise;
  };
  const run = index.ingest(NOTES, { batchSize: 2 });
  await reached.promise;
  assert.equal(run.progress.indexed, 4);
  assert.deepEqual((await index.search('note number 3', { k: 1, mode: 'keyword' })).hits.map(({ id }) => id), ['n3']);
  const elsewhere = await openIndex({ disk });
  assert.equal(await elsewhere.index.count(), 4);
  held.resolve();
  const report = await run.done;
  assert.equal(report.indexed.length, 10);
  assert.equal(await index.count(), 10);
});

test('progress counts up to the end, and tells the total where it is known', async () => {
  const { index } = await openIndex();
  const seen: IngestProgress[] = [];
  await index.ingest(NOTES, { batchSize: 3, onProgress: (progress) => seen.push(progress) }).done;
  assert.deepEqual(seen.at(-1), { status: 'done', done: 10, total: 10, indexed: 10, unchanged: 0, failed: 0, embedded: 10 });
  assert.deepEqual(seen.map(({ done }) => done), seen.map(({ done }) => done).sort((a, b) => a - b));
  async function* stream(): AsyncGenerator<SearchDocument> {
    yield* NOTES;
  }
  const run = index.ingest(stream());
  const report = await run.done;
  assert.deepEqual([report.indexed.length, report.unchanged.length, run.progress.total], [0, 10, undefined]);
});

test('a second run embeds only what is new or has changed, and prunes what is gone', async () => {
  const { index, embedder } = await openIndex();
  await index.ingest(NOTES).done;
  embedder.calls.length = 0;
  const report = await index.ingest([...NOTES.slice(2), { id: 'n5b', text: 'fresh' }, { id: 'broken', text: '' }], { prune: true }).done;
  assert.deepEqual(embedder.calls.flatMap(({ inputs }) => inputs), [{ text: 'fresh' }]);
  assert.deepEqual(report.indexed, ['n5b']);
  assert.deepEqual(report.pruned, ['n0', 'n1']);
  assert.deepEqual(report.failed.map(({ id }) => id), ['broken']);
  assert.equal(await index.count(), 9);
});

test('a document that fails fails alone, and what was there of it stays', async () => {
  const { index } = await openIndex();
  await index.add({ id: 'n1', text: 'the old text' });
  const report = await index.ingest([NOTES[0] as SearchDocument, { id: 'n1', text: 'now unreadable' }, NOTES[2] as SearchDocument, NOTES[2] as SearchDocument, { id: 'x' } as never]).done;
  assert.deepEqual(report.indexed, ['n0', 'n2']);
  assert.deepEqual(report.failed.map(({ id, error }) => [id, (error as Error & { code: string }).code]), [['n2', 'DUPLICATE_ID'], ['x', 'INPUT_INVALID'], ['n1', 'INPUT_INVALID']]);
  assert.equal((await index.get('n1'))?.passages[0]?.text, 'the old text');
});

test('pause stops after the batch at work, and resume goes on where it stopped', async () => {
  const { index, embedder } = await openIndex();
  const statuses: string[] = [];
  const run = index.ingest(NOTES, { batchSize: 1, onProgress: ({ status }) => statuses.push(status) });
  embedder.before = () => {
    if (embedder.calls.length === 3) run.pause();
  };
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(embedder.calls.length, 3);
  assert.equal(run.progress.status, 'paused');
  run.pause();
  run.resume();
  assert.equal((await run.done).indexed.length, 10);
  assert.equal(embedder.calls.length, 10);
  assert.deepEqual([...new Set(statuses)], ['running', 'paused', 'done']);
});

test('cancel keeps what is committed, also while paused, and the next run skips it', async () => {
  for (const paused of [false, true]) {
    const { index, embedder } = await openIndex();
    const run = index.ingest(NOTES, { batchSize: 1 });
    embedder.before = () => {
      if (embedder.calls.length !== 4) return;
      if (!paused) return run.cancel();
      run.pause();
      setTimeout(() => run.cancel(), 50);
    };
    await assert.rejects(run.done, { name: 'AbortError' });
    const n = await index.count();
    assert.ok(n === 3 || n === 4, String(n));
    embedder.calls.length = 0;
    embedder.before = () => undefined;
    const report = await index.ingest(NOTES, { batchSize: 1 }).done;
    assert.equal(report.unchanged.length, n);
    assert.equal(embedder.calls.length, 10 - n);
  }
});

test('a signal cancels, before the run and during it', async () => {
  const { index, embedder } = await openIndex();
  await assert.rejects(index.ingest(NOTES, { signal: AbortSignal.abort() }).done, { name: 'AbortError' });
  const controller = new AbortController();
  embedder.before = () => controller.abort();
  await assert.rejects(index.ingest(NOTES, { signal: controller.signal }).done, { name: 'AbortError' });
  assert.equal(await index.count(), 0);
});

test('a failure that is about no document ends the run, and what was committed stays', async () => {
  const { index, embedder, disk } = await openIndex();
  embedder.before = () => {
    if (embedder.calls.length === 3) throw Object.assign(new Error('lost'), { name: 'EmbedderError', code: 'DEVICE_LOST' });
  };
  await assert.rejects(index.ingest(NOTES, { batchSize: 1 }).done, code('DEVICE_LOST'));
  assert.equal(await index.count(), 2);
  embedder.before = () => undefined;
  disk.capacity = (disk.file?.length ?? 0) + 10;
  await assert.rejects(index.ingest(NOTES, { batchSize: 1 }).done, code('QUOTA'));
  assert.equal(await index.count(), 2);
});

test('a source that fails ends the run with its error', async () => {
  const { index } = await openIndex();
  async function* source(): AsyncGenerator<SearchDocument> {
    yield NOTES[0] as SearchDocument;
    throw new Error('the folder is gone');
  }
  await assert.rejects(index.ingest(source()).done, /the folder is gone/);
  assert.equal((await openIndex({ disk: new FakeDisk() })).index.name, 'default');
});

test('a long document is embedded in several calls and committed as a whole', async () => {
  const { index, embedder } = await openIndex({ passages: { maxTokens: 6, overlapTokens: 0 } });
  const text = Array.from({ length: 9 }, (_, i) => `Sentence number ${i}.`).join(' ');
  let counted = -1;
  embedder.before = async () => {
    if (embedder.calls.length === 3) counted = await index.count();
  };
  const run = index.ingest([{ id: 'long', text }], { batchSize: 3 });
  await run.done;
  assert.equal(embedder.calls.length, 3);
  assert.equal(counted, 0);
  assert.equal((await index.get('long'))?.passages.length, 9);
});
