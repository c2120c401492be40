import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SLICE_BYTES, streamFile } from '../../www/lib/engine/stream-file.js';
import { openWith } from '../../www/lib/fetch-body.js';
import type { PlannedFile } from '../../www/lib/model-files.js';
import { bytesOf, sha256 } from './support/model-server.js';

const MiB = 1 << 20;
const signal = new AbortController().signal;

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

const file = (facts: Partial<PlannedFile>): PlannedFile => ({ role: 'text', name: 'f', source: { url: 'https://host.example/f' }, nBytes: undefined, sha256: undefined, ...facts });

describe('streaming a file', () => {
  test('never asks for more while the device is busy', async () => {
    let pulled = 0;
    let sunk = 0;
    let ahead = 0;
    const hooks = {
      onOpen: () => undefined,
      onBytes: () => undefined,
      sink: async (bytes: Uint8Array) => {
        assert.ok(bytes.length <= SLICE_BYTES);
        await new Promise((resolve) => setTimeout(resolve, 1));
        sunk += bytes.length;
        ahead = Math.max(ahead, pulled - sunk);
      },
    };
    await streamFile(file({ nBytes: 64 * MiB }), opening(64 * MiB, 3 * MiB, (bytes) => (pulled += bytes)), hooks, signal);
    assert.equal(sunk, 64 * MiB);
    assert.ok(ahead <= 3 * MiB + SLICE_BYTES, `${ahead} bytes were held`);
  });

  test('of chunks smaller than a slice hands on whole slices', async () => {
    const slices: number[] = [];
    await streamFile(file({}), opening(2.5 * MiB, 1000), { onOpen: () => undefined, onBytes: () => undefined, sink: (bytes) => void slices.push(bytes.length) }, signal);
    assert.deepEqual(slices, [MiB, MiB, MiB / 2]);
  });

  test('hashes what it hands on', async () => {
    const bytes = bytesOf(3 * MiB + 17);
    const open = openWith(async () => new Response(bytes as BodyInit));
    const sunk: number[] = [];
    await streamFile(file({ sha256: sha256(bytes), nBytes: bytes.length }), open, { onOpen: () => undefined, onBytes: (n) => void sunk.push(n), sink: () => undefined }, signal);
    assert.equal(sunk.at(-1), bytes.length);
  });

  test('of an empty file hands on nothing, and its hash is checked all the same', async () => {
    const open = (): ReturnType<typeof openWith> => openWith(async () => new Response(new Uint8Array()));
    const hooks = { onOpen: () => undefined, onBytes: () => undefined, sink: () => assert.fail('handed on') };
    await streamFile(file({ nBytes: 0, sha256: sha256(new Uint8Array()) }), open(), hooks, signal);
    await assert.rejects(streamFile(file({ nBytes: 0, sha256: '0'.repeat(64) }), open(), hooks, signal), { code: 'INTEGRITY' });
  });

  test('hears of an abort although every read is answered from memory', async () => {
    const controller = new AbortController();
    let sunk = 0;
    setTimeout(() => controller.abort(), 0);
    const streaming = streamFile(file({}), opening(1024 * MiB, 8 * MiB), { onOpen: () => undefined, onBytes: () => undefined, sink: (bytes) => void (sunk += bytes.length) }, controller.signal);
    await assert.rejects(streaming, { name: 'AbortError' });
    assert.ok(sunk <= 64 * MiB, `${sunk} bytes went on`);
  });
});
