import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { loadFile, ROOMS, SLICE_BYTES, type FileHooks } from '../../www/lib/weights/load-file.js';
import { Rooms } from '../../www/lib/weights/rooms.js';
import { openWith } from '../../www/lib/fetch-body.js';
import { PIECE_BYTES, type PlannedFile } from '../../www/lib/model-files.js';
import { Checksums } from '../../www/lib/weights/checksum.js';
import { bytesOf as bytesOfKept, keptFiles, nothingKept, segmentOf } from '../../www/lib/weights/kept.js';
import { memoryStore, partedStore } from './support/memory-store.js';
import { bytesOf, serveFiles, sha256, type Answer, type ModelServer } from './support/model-server.js';
import { ranged, type Asked } from './support/range-server.js';

const MiB = 1 << 20;
const signal = new AbortController().signal;
const servers: ModelServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

const serve = async (answer: Answer): Promise<string> => {
  const server = await serveFiles({ f: answer });
  servers.push(server);
  return `${server.url}f`;
};

const file = (facts: Partial<PlannedFile>): PlannedFile => ({ role: 'text', name: 'f', source: { url: 'https://host.example/f' }, nBytes: undefined, sha256: undefined, pieceBytes: PIECE_BYTES, hashes: undefined, ...facts });
const hooks = (more: Partial<FileHooks> = {}): FileHooks => ({
  open: openWith((url, init) => fetch(url, init)), signal, retryPauseMs: 0, rangeOrigins: new Set(), rooms: new Rooms(ROOMS), onBytes: () => undefined, sink: () => undefined, ...more,
});
const checksums = await Checksums.load();
const HASHED_BYTES = PIECE_BYTES / 4;
const hashesOf = (bytes: Uint8Array): PlannedFile['hashes'] => ({
  nBytes: HASHED_BYTES,
  sha256: Array.from({ length: Math.ceil(bytes.length / HASHED_BYTES) }, (_, i) => sha256(bytes.subarray(i * HASHED_BYTES, (i + 1) * HASHED_BYTES))),
});

/** Loads from `answer`, and returns what reached the sink. */
async function loaded(answer: Answer, facts: Partial<PlannedFile> = {}, more: Partial<FileHooks> = {}): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const nBytes = await loadFile(file({ source: { url: await serve(answer) }, ...facts }), undefined, hooks({ sink: (bytes) => void chunks.push(bytes.slice()), ...more }));
  const whole = Buffer.concat(chunks);
  assert.equal(whole.length, nBytes);
  return whole;
}
const same = (found: Uint8Array, needed: Uint8Array): void => assert.equal(sha256(found), sha256(needed));

const LARGE = bytesOf(5 * PIECE_BYTES + 12_345);

/** A response of `nBytes`, made as it is asked for; `onPull` hears of each chunk. */
function opening(nBytes: number, chunkBytes: number, onPull: (bytes: number) => void = () => undefined): ReturnType<typeof openWith> {
  let made = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const size = Math.min(chunkBytes, nBytes - made);
        if (size === 0) return controller.close();
        controller.enqueue(new Uint8Array(size).fill(made % 251));
        made += size;
        onPull(size);
      },
    },
    { highWaterMark: 0 },
  );
  return openWith(async () => new Response(stream));
}

describe('loading a file', () => {
  test('never holds more than four pieces while the device is busy', async () => {
    let pulled = 0;
    let sunk = 0;
    let ahead = 0;
    const open = opening(96 * MiB, 3 * MiB, (bytes) => (pulled += bytes));
    const sink = async (bytes: Uint8Array): Promise<void> => {
      assert.ok(bytes.length <= SLICE_BYTES);
      await new Promise((resolve) => setTimeout(resolve, 1));
      sunk += bytes.length;
      ahead = Math.max(ahead, pulled - sunk);
    };
    await loadFile(file({ nBytes: 96 * MiB }), undefined, hooks({ open, sink }));
    assert.equal(sunk, 96 * MiB);
    assert.ok(ahead <= 4 * PIECE_BYTES + 3 * MiB, `${ahead} bytes were held`);
  });

  test('of chunks smaller than a slice hands on whole slices', async () => {
    const slices: number[] = [];
    await loadFile(file({}), undefined, hooks({ open: opening(2.5 * MiB, 1000), sink: (bytes) => void slices.push(bytes.length) }));
    assert.deepEqual(slices, [MiB, MiB, MiB / 2]);
  });

  test('of an empty file hands on nothing, and its hash is checked all the same', async () => {
    const open = openWith(async () => new Response(new Uint8Array()));
    const sink = (): never => assert.fail('handed on');
    await loadFile(file({ nBytes: 0, sha256: sha256(new Uint8Array()) }), undefined, hooks({ open, sink }));
    await assert.rejects(loadFile(file({ nBytes: 0, sha256: '0'.repeat(64) }), undefined, hooks({ open, sink })), { code: 'INTEGRITY' });
  });

  test('hears of an abort although every read is answered from memory', async () => {
    const controller = new AbortController();
    let sunk = 0;
    setTimeout(() => controller.abort(), 0);
    const loading = loadFile(file({}), undefined, hooks({ open: opening(1024 * MiB, 8 * MiB), sink: (bytes) => void (sunk += bytes.length), signal: controller.signal }));
    await assert.rejects(loading, { name: 'AbortError' });
    assert.ok(sunk <= 64 * MiB, `${sunk} bytes went on`);
  });

  test('of the disk reads it in pieces, whole', async () => {
    const chunks: Uint8Array[] = [];
    await loadFile(file({ source: { blob: new Blob([LARGE as BlobPart]) }, nBytes: LARGE.length }), undefined, hooks({ sink: (bytes) => void chunks.push(bytes.slice()) }));
    same(Buffer.concat(chunks), LARGE);
  });
});

describe('ranges', () => {
  test('are fetched four at a time, and handed on in order', async () => {
    const asked: Asked[] = [];
    const found = await loaded(ranged(LARGE, { fault: (each) => void asked.push(each) }), { nBytes: LARGE.length, sha256: sha256(LARGE), hashes: hashesOf(LARGE) });
    same(found, LARGE);
    assert.deepEqual(asked.map(({ range }) => range?.[0]).sort((a, b) => (a ?? 0) - (b ?? 0)), [0, 1, 2, 3, 4].map((i) => i * PIECE_BYTES));
  });

  test('of a server that is known to answer with them are for two pieces each, but for what is kept', async () => {
    const large = bytesOf(17 * PIECE_BYTES + 1);
    const asked: Asked[] = [];
    const url = await serve(ranged(large, { fault: (each) => void asked.push(each) }));
    const planned = file({ source: { url }, nBytes: large.length });
    const store = memoryStore();
    const kept = nothingKept('k');
    const seventh = large.subarray(6 * PIECE_BYTES, 7 * PIECE_BYTES);
    const segment = segmentOf('k', 6, PIECE_BYTES, [checksums.of(seventh)]);
    kept.segments.set(6, segment);
    await store.put(segment.name, seventh);
    const chunks: Uint8Array[] = [];
    const keeping = { store, file: kept, checksums, next: [], isOpen: () => false, failed: assert.fail };
    await loadFile(planned, keeping, hooks({ rangeOrigins: new Set([new URL(url).origin]), sink: (bytes) => void chunks.push(bytes.slice()) }));
    same(Buffer.concat(chunks), large);
    const runs = asked.map(({ range }) => range?.map((at) => Math.ceil(at / PIECE_BYTES))).sort((a, b) => (a?.[0] ?? 0) - (b?.[0] ?? 0));
    assert.deepEqual(runs, [[0, 2], [2, 4], [4, 6], [7, 9], [9, 11], [11, 13], [13, 15], [15, 17], [17, 18]]);
  });

  test('are not asked for where all is kept: the store is told what is read next, of the next file, too', async () => {
    const large = bytesOf(9 * PIECE_BYTES + 1), store = partedStore(), { read } = store;
    const planned = file({ source: { url: await serve(ranged(large)) }, nBytes: large.length, sha256: sha256(large) });
    const kept = nothingKept(planned.sha256 as string);
    const keeping = { store, file: kept, checksums, next: ['of the next file', 'and its second', 'and its third'], isOpen: () => true, failed: assert.fail };
    await loadFile(planned, keeping, hooks());
    const reads: { readonly name: string; readonly next: readonly string[] | undefined }[] = [];
    store.read = (name, at, room, next) => (reads.push({ name, next }), read(name, at, room, next));
    const chunks: Uint8Array[] = [];
    await loadFile(planned, keeping, hooks({ open: () => assert.fail('asked a server'), sink: (bytes) => void chunks.push(bytes.slice()) }));
    same(Buffer.concat(chunks), large);
    const [first, second] = [kept.segments.get(0)?.name, kept.segments.get(8)?.name];
    assert.deepEqual(reads.map(({ name }) => name), [...Array<unknown>(8).fill(first), second, second]);
    assert.deepEqual([reads[0]?.next, reads[9]?.next], [[second, 'of the next file'], ['of the next file', 'and its second']]);
  });

  test('of what is kept in segments are for what is missing, and what was damaged is put in its place again', async () => {
    const large = bytesOf(17 * PIECE_BYTES + 1);
    const asked: Asked[] = [];
    const url = await serve(ranged(large, { fault: (each) => void asked.push(each) }));
    const planned = file({ source: { url }, nBytes: large.length, sha256: sha256(large) });
    const store = partedStore(), key = planned.sha256 as string;
    /** Loads all of it, and returns the pieces that requests began with. */
    const load = async (nKept = large.length): Promise<number[]> => {
      asked.length = 0;
      const chunks: Uint8Array[] = [];
      const kept = (await keptFiles(store)).get(key) ?? nothingKept(key);
      const keeping = { store, file: kept, checksums, next: [], isOpen: () => true, failed: assert.fail };
      await loadFile(planned, keeping, hooks({ rangeOrigins: new Set([new URL(url).origin]), sink: (bytes) => void chunks.push(bytes.slice()) }));
      same(Buffer.concat(chunks), large);
      assert.equal(bytesOfKept(kept), nKept);
      return asked.flatMap(({ range }) => (range === undefined ? [] : [range[0] / PIECE_BYTES])).sort((a, b) => a - b);
    };
    const segments = (): string[] => [...store.kept.keys()].map((name) => name.split('.').slice(1, 3).join(' ')).sort();
    assert.deepEqual(await load(), [0, 2, 4, 6, 8, 10, 12, 14, 16]);
    const whole = [`0 ${8 * PIECE_BYTES}`, `16 ${PIECE_BYTES + 1}`, `8 ${8 * PIECE_BYTES}`];
    assert.deepEqual(segments(), whole);
    assert.deepEqual(await load(), []);
    const second = [...store.kept.keys()].find((name) => name.startsWith(`${key}.8.`)) as string;
    (store.kept.get(second) as Uint8Array)[3 * PIECE_BYTES + 5]! ^= 1;
    assert.deepEqual(await load(), [11]);
    assert.deepEqual(segments(), whole);
    assert.deepEqual(await load(), []);
    store.kept.delete(second);
    assert.deepEqual(await load(), [8, 10, 12, 14]);
    assert.deepEqual(segments(), whole);
    // A name that lies of its last piece: all that it stands for goes, and is there again after one more load.
    store.kept.set(second.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')), store.kept.get(second) as Uint8Array);
    store.kept.delete(second);
    assert.deepEqual(await load(large.length - 7 * PIECE_BYTES), [15]);
    assert.deepEqual(await load(), [8, 10, 12, 14]);
    assert.deepEqual(segments(), [...whole.slice(0, 2), `15 ${PIECE_BYTES}`, `8 ${7 * PIECE_BYTES}`].sort());
    assert.deepEqual(await load(), []);
  });

  test('tell the size where nothing else does', async () => {
    same(await loaded(ranged(LARGE)), LARGE);
  });

  test('of a server that does not tell the size are asked for until there are no more', async () => {
    const hiding = openWith(async (url, init) => {
      const { status, statusText, body } = await fetch(url, init);
      return new Response(body, { status, statusText });
    });
    same(await loaded(ranged(LARGE), {}, { open: hiding }), LARGE);
    const even = LARGE.subarray(0, 2 * PIECE_BYTES);
    same(await loaded(ranged(even), {}, { open: hiding }), even);
  });

  test('that a server cuts short are asked for again from there', async () => {
    same(await loaded(ranged(LARGE, { mostBytes: 1_500_001 }), { nBytes: LARGE.length }), LARGE);
  });

  test('are done without where the server ignores them', async () => {
    const asked: Asked[] = [];
    same(await loaded(ranged(LARGE, { ranges: false, fault: (each) => void asked.push(each) }), { nBytes: LARGE.length, sha256: sha256(LARGE) }), LARGE);
    assert.equal(asked.length, 1);
    same(await loaded(ranged(LARGE, { ranges: false })), LARGE);
  });

  test('that a server sometimes ignores still make the file', async () => {
    let n = 0;
    const knowing = ranged(LARGE), ignorant = ranged(LARGE, { ranges: false });
    same(await loaded((request, response) => ((n++ % 3 === 1 ? ignorant : knowing) as (a: typeof request, b: typeof response) => void)(request, response), { nBytes: LARGE.length }), LARGE);
  });

  test('of another file than the one that was begun are an error', async () => {
    let n = 0;
    const first = ranged(LARGE), second = ranged(LARGE.subarray(1));
    const answer: Answer = (request, response) => ((n++ === 0 ? first : second) as (a: typeof request, b: typeof response) => void)(request, response);
    await assert.rejects(loaded(answer), { code: 'DOWNLOAD_FAILED', message: /needed 10498105 bytes, found 10498104/ });
  });
});

describe('a connection that breaks', () => {
  test('is gone on with from the byte where it broke', async () => {
    const asked: Asked[] = [];
    const answer = ranged(LARGE, {
      fault: (each, n) => {
        asked.push(each);
        return n < 4 ? { cutAfter: 1_000_000 + n } : undefined;
      },
    });
    same(await loaded(answer, { nBytes: LARGE.length }), LARGE);
    const resumed = asked.filter(({ range }) => range !== undefined && range[0] % PIECE_BYTES !== 0);
    assert.ok(resumed.length >= 1 && resumed.every(({ range }) => range !== undefined && range[1] % PIECE_BYTES === 0 || range?.[1] === LARGE.length), JSON.stringify(asked));
  });

  test('of a server without ranges is begun again, and what was handed on is skipped', async () => {
    same(await loaded(ranged(LARGE, { ranges: false, fault: (_, n) => (n < 2 ? { cutAfter: 9_000_000 * (n + 1) } : undefined) }), { nBytes: LARGE.length, sha256: sha256(LARGE) }), LARGE);
  });

  test('at the same byte every time is given up', async () => {
    let n = 0;
    const always = ranged(LARGE, { fault: () => ((n += 1), { cutAfter: 10 }) });
    await assert.rejects(loaded(always, { nBytes: LARGE.length }), { code: 'DOWNLOAD_FAILED' });
    assert.ok(n <= 4 * 5, `${n} requests`);
  });

  test('of a server that is busy for a moment is no failure', async () => {
    same(await loaded(ranged(LARGE, { fault: (_, n) => (n % 2 === 0 && n < 8 ? { status: 503 } : undefined) }), { nBytes: LARGE.length }), LARGE);
  });

  test('is not what a server says that it has not', async () => {
    let n = 0;
    await assert.rejects(loaded(ranged(LARGE, { fault: () => ((n += 1), { status: 404 }) }), { nBytes: LARGE.length }), { code: 'DOWNLOAD_FAILED', message: /found status 404/ });
    assert.equal(n, 1);
  });
});

describe('bytes that are wrong', () => {
  const facts = { nBytes: LARGE.length, sha256: sha256(LARGE) };

  test('are found piece by piece, before they reach the device, and fetched again', async () => {
    same(await loaded(ranged(LARGE, { fault: (_, n) => (n === 2 ? { flip: 77 } : undefined) }), { ...facts, hashes: hashesOf(LARGE) }), LARGE);
  });

  test('that stay wrong name the piece', async () => {
    let sunk = 0;
    const answer = ranged(LARGE, { fault: ({ range }) => (range?.[0] === 2 * PIECE_BYTES ? { flip: 3 * HASHED_BYTES + 77 } : undefined) });
    await assert.rejects(loaded(answer, { ...facts, hashes: hashesOf(LARGE) }, { sink: (bytes) => void (sunk += bytes.length) }), { code: 'INTEGRITY', message: /piece 11: needed SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}/ });
    assert.ok(sunk <= 2 * PIECE_BYTES);
  });

  test('are found by the hash of the whole file where that is all that is known', async () => {
    await assert.rejects(loaded(ranged(LARGE, { fault: (_, n) => (n === 2 ? { flip: 77 } : undefined) }), facts), { code: 'INTEGRITY' });
  });
});
