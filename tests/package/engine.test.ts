// Parts of the engine by themselves, where the page would hide a failure by its own care.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EmbedderError } from '../../www/lib/errors.js';
import { Guard } from '../../www/lib/engine/guard.js';
import { chooseKernels } from '../../www/lib/engine/kernels.js';
import { PageFetch } from '../../www/lib/engine/page-fetch.js';
import { prepareInputs } from '../../www/lib/engine/pictures.js';
import { uncaughtInPage } from '../../www/lib/engine/uncaught.js';
import { openWith } from '../../www/lib/fetch-body.js';
import type { ToPage } from '../../www/lib/worker/protocol.js';
import { fakeFace, trap } from './support/fake-face.js';

const lost = new EmbedderError('DEVICE_LOST', 'gone');

describe('a guard', () => {
  test('rejects what never answers once the device has failed', async () => {
    const guard = new Guard(() => undefined);
    const waiting = guard.wait(() => new Promise(() => undefined));
    guard.fail(lost);
    await assert.rejects(waiting, lost);
  });

  test('lets nothing into the module after a failure', async () => {
    const guard = new Guard(() => undefined);
    guard.fail(lost);
    let entered = 0;
    assert.throws(() => guard.call(() => void (entered += 1)), lost);
    await assert.rejects(guard.wait(async () => void (entered += 1)), lost);
    assert.equal(entered, 0);
  });

  test('reports the first failure alone, as the cause of what follows', () => {
    const reported: EmbedderError[] = [];
    const guard = new Guard((error) => reported.push(error));
    assert.throws(() => guard.call(() => {
      guard.fail(lost);
      throw trap();
    }), lost);
    assert.deepEqual(reported, [lost]);
  });

  test('stays whole after a failure that concerns one call', () => {
    const guard = new Guard(() => assert.fail('failed'));
    assert.throws(() => guard.call(() => { throw { code: 'INPUT_INVALID', message: 'no' }; }), { code: 'INPUT_INVALID' });
    assert.equal(guard.call(() => 7), 7);
  });
});

describe('the kernels', () => {
  const choose = async (wanted: Parameters<typeof chooseKernels>[0], kind: 'webgpu' | 'wasm', isFallbackAdapter: boolean): Promise<{ chosen: string; log: string[] }> => {
    const face = fakeFace({ isFallbackAdapter });
    const device = await face.create_device(kind, () => undefined);
    const chosen = await chooseKernels(wanted, device, new Guard(() => undefined));
    return { chosen, log: face.log.slice(1) };
  };

  test('of a card are measured where nothing is remembered', async () => {
    assert.deepEqual(await choose('auto', 'webgpu', false), { chosen: 'measured', log: ['measure'] });
  });

  test('of a processor are fixed, unless the caller has them measured', async () => {
    assert.deepEqual(await choose('auto', 'webgpu', true), { chosen: 'auto', log: [] });
    assert.deepEqual(await choose('measure', 'webgpu', true), { chosen: 'measured', log: ['measure'] });
    assert.deepEqual(await choose('measure', 'wasm', false), { chosen: 'auto', log: [] });
  });

  test('that the caller names are not measured', async () => {
    assert.deepEqual(await choose('tiled', 'webgpu', false), { chosen: 'tiled', log: [] });
    assert.deepEqual(await choose('direct', 'webgpu', false), { chosen: 'direct', log: [] });
  });
});

describe("a page's uncaught errors", () => {
  const thrownFrom = (where: string): Error => Object.assign(trap(), { stack: `RuntimeError: unreachable\n    at ${where}:wasm-function[7]:0x10` });

  test("are the engine's where they come from its wasm file, until it stops listening", () => {
    const scope = new EventTarget();
    const heard: unknown[] = [];
    const stop = uncaughtInPage(scope).listen((thrown) => heard.push(thrown));
    const ours = thrownFrom('https://host.example/assets/jina_embeddings_web_bg-1a2b.wasm');
    scope.dispatchEvent(Object.assign(new Event('error'), { error: thrownFrom('https://host.example/other.wasm') }));
    scope.dispatchEvent(Object.assign(new Event('unhandledrejection'), { reason: undefined }));
    scope.dispatchEvent(Object.assign(new Event('error'), { error: ours }));
    stop();
    scope.dispatchEvent(Object.assign(new Event('error'), { error: ours }));
    assert.deepEqual(heard, [ours]);
  });
});

describe('a fetch through the page', () => {
  test('that is aborted rejects at once and tells the page', async () => {
    const posted: ToPage[] = [];
    const fetches = new PageFetch((message) => posted.push(message));
    const controller = new AbortController();
    const opening = fetches.open('https://host.example/f', 'GET', controller.signal);
    controller.abort();
    await assert.rejects(opening, { name: 'AbortError' });
    assert.deepEqual(posted.map(({ type }) => type), ['fetch', 'fetch-cancel']);
    // An answer that was on its way finds nobody.
    fetches.receive({ type: 'fetch-end', id: 1 });
  });

  test('asks for each chunk, and no more after the end', async () => {
    const posted: string[] = [];
    const answers = [
      { type: 'fetch-head', id: 1, head: { status: 200, statusText: '', contentLength: '2', contentRange: null, etag: null, lastModified: null } },
      { type: 'fetch-chunk', id: 1, bytes: Uint8Array.of(1, 2) },
      { type: 'fetch-end', id: 1 },
    ] as const;
    const fetches = new PageFetch(({ type }) => {
      const answer = answers[posted.push(type) - 1];
      if (answer !== undefined) queueMicrotask(() => fetches.receive(answer));
    });
    const body = await fetches.open('https://host.example/f', 'GET', new AbortController().signal);
    assert.deepEqual(await body.read(), Uint8Array.of(1, 2));
    assert.equal(await body.read(), undefined);
    assert.equal(await body.read(), undefined);
    body.cancel();
    assert.deepEqual(posted, ['fetch', 'fetch-pull', 'fetch-pull']);
  });
});

describe('preparing pictures', () => {
  const never = openWith((_url, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))));

  test('ends with the abort, and not with a note that the picture is bad', async () => {
    const controller = new AbortController();
    const preparing = prepareInputs([{ text: 'a' }, { url: 'https://host.example/p.png' }], never, controller.signal);
    controller.abort();
    await assert.rejects(preparing, { name: 'AbortError' });
  });

  test('opens at most six addresses at a time, and keeps their order', async () => {
    let open = 0;
    let most = 0;
    const slow = openWith(async (url) => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 2));
      open -= 1;
      return new Response(new Uint8Array(Number(new URL(url).pathname.slice(1))));
    });
    const inputs = Array.from({ length: 20 }, (_, i) => ({ url: `https://host.example/${i}` }));
    const prepared = await prepareInputs(inputs, slow, new AbortController().signal);
    assert.equal(most, 6);
    assert.deepEqual(prepared.map((input) => ('image' in input ? input.image.length : -1)), inputs.map((_, i) => i));
  });

  test('refuses a file too large to be a picture before holding it', async () => {
    const endless = openWith(async () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(8 << 20)) }, { highWaterMark: 0 })));
    const [prepared] = await prepareInputs([{ url: 'https://host.example/p' }], endless, new AbortController().signal);
    assert.ok(prepared !== undefined && 'invalid' in prepared && /needed at most 67108864 bytes/.test(prepared.invalid.message));
  });
});
