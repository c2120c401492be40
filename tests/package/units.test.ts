import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EmbedderError, abortError, fromWire, isEmbedderError, toWire } from '../../www/lib/errors.js';
import { LoadProgress } from '../../www/lib/engine/progress.js';
import { locateModel, planDirectory } from '../../www/lib/model-files.js';
import { availability } from '../../www/lib/index.js';
import type { ModelSource, ProgressEvent } from '../../www/lib/index.js';
import { copyInput } from '../../www/lib/inputs.js';
import { readToEngine, PROTOCOL } from '../../www/lib/worker/protocol.js';
import { bytesOf, modelDirectory, serveFiles } from './support/model-server.js';

describe('an error', () => {
  test('survives the worker with code, data and the stack of the other side', () => {
    const error = new EmbedderError('INTEGRITY', 'wrong bytes', { data: { url: 'u' }, recoverable: false });
    const rebuilt = fromWire(structuredClone(toWire(error))) as EmbedderError;
    assert.ok(isEmbedderError(rebuilt));
    assert.deepEqual([rebuilt.code, rebuilt.message, rebuilt.data, rebuilt.recoverable], ['INTEGRITY', 'wrong bytes', { url: 'u' }, false]);
    assert.equal((rebuilt.cause as Error).stack, error.stack);
  });

  test('is known by its name and code, whichever copy of the class made it', () => {
    assert.ok(isEmbedderError({ name: 'EmbedderError', code: 'DEVICE_LOST', message: '' }));
    assert.ok(!isEmbedderError(new Error('other')));
    assert.ok(!isEmbedderError({ name: 'EmbedderError', code: 'NO_SUCH_CODE' }));
  });

  test('of an abort is an AbortError on both sides', () => {
    const rebuilt = fromWire(structuredClone(toWire(abortError())));
    assert.equal(rebuilt.name, 'AbortError');
    assert.ok(rebuilt instanceof DOMException);
  });
});

describe('progress', () => {
  test('never passes a total that the server stated too small, and ends at 100', () => {
    const events: ProgressEvent[] = [];
    const progress = new LoadProgress([{ name: 'f', nBytes: 100 }], (event) => events.push(event));
    progress.initiate(0);
    progress.download(0, 0);
    for (const loaded of [40, 90, 170]) progress.advance(0, loaded);
    progress.done(0);
    const seen = events.filter((event) => event.status === 'progress');
    assert.deepEqual(seen.map(({ loaded, total }) => [loaded, total]), [[0, 100], [40, 100], [90, 100], [100, 100]]);
  });

  test('of a large file is told in at most 202 steps', () => {
    let steps = 0;
    const progress = new LoadProgress([{ name: 'f', nBytes: 1e6 }], (event) => { if (event.status === 'progress') steps += 1; });
    progress.download(0, 0);
    for (let loaded = 1; loaded <= 1e6; loaded += 7) progress.advance(0, loaded);
    progress.done(0);
    assert.ok(steps <= 202 && steps > 150, `${steps}`);
  });

  test('of an empty file is 100', () => {
    const events: ProgressEvent[] = [];
    const progress = new LoadProgress([{ name: 'f', nBytes: 0 }], (event) => events.push(event));
    progress.download(0, 0);
    progress.done(0);
    assert.ok(events.every((event) => !('progress' in event) || event.progress === 100));
  });
});

describe('the address of a model', () => {
  const base = 'https://page.example/app/index.html';
  test('is a directory unless it ends in .gguf, and is relative to the page', () => {
    assert.deepEqual(locateModel('models/tiny', base), { kind: 'directory', url: 'https://page.example/app/models/tiny/' });
    assert.deepEqual(locateModel('tiny', base), { kind: 'directory', url: 'https://page.example/models/tiny/' });
    assert.deepEqual(locateModel('/m/model.json', base), { kind: 'directory', url: 'https://page.example/m/' });
    assert.deepEqual(locateModel(new URL('https://x.example/m/'), base), { kind: 'directory', url: 'https://x.example/m/' });
  });

  test('gives each file a name that people can read, where it can be read', () => {
    const nameOf = (address: string): unknown => {
      const model = locateModel(address, base);
      return 'files' in model && model.files[0]?.name;
    };
    assert.equal(nameOf('a%20b.gguf'), 'a b.gguf');
    assert.equal(nameOf('100%.gguf'), '100%.gguf');
  });

  test('is refused where it is none', () => {
    for (const model of ['http://', undefined, 42, {}, { text: [] }, { text: 7 }]) {
      assert.throws(() => locateModel(model as ModelSource, base), { code: 'INPUT_INVALID' }, JSON.stringify(model));
    }
    assert.throws(() => locateModel('relative', undefined), { code: 'INPUT_INVALID', message: /"relative" is not an address/ });
  });
});

describe('model.json', () => {
  const directory = 'https://host.example/m/';
  const plan = (manifest: unknown): unknown => planDirectory(typeof manifest === 'string' ? manifest : JSON.stringify(manifest), directory, { images: true, multivector: true });
  const good = { format: 'jina-embeddings-web', format_version: 1, files: [{ path: 'text.gguf', role: 'text' }] };
  const withFile = (file: Record<string, unknown>): unknown => ({ ...good, files: [...good.files, file] });
  const bad: [string, unknown, RegExp][] = [
    ['is not JSON', 'oops', /needed JSON, found "oops"/],
    ['is of another format', { ...good, format: 'onnx' }, /needed "format": "jina-embeddings-web", found "onnx"/],
    ['is of a later version', { ...good, format_version: 2 }, /needed "format_version": 1, found 2/],
    ['has no list of files', { ...good, files: {} }, /needed "files" to be a list, found object/],
    ['has no text model', { ...good, files: [] }, /needed a file of role "text"/],
    ['has a file without a path', withFile({ role: 'vision' }), /files\[1\]\.path/],
    ['has a file of an unknown role', withFile({ path: 'x', role: 'audio' }), /files\[1\]\.role to be one of text, vision, projector, adapter, found "audio"/],
    ['has an adapter without a task', withFile({ path: 'x', role: 'adapter' }), /files\[1\]\.task/],
    ['has a negative size', withFile({ path: 'x', role: 'vision', n_bytes: -1 }), /files\[1\]\.n_bytes/],
    ['has a hash of the wrong form', withFile({ path: 'x', role: 'vision', sha256: 'abc' }), /files\[1\]\.sha256/],
    ['points above its directory', withFile({ path: '../secret', role: 'vision' }), /files\[1\]\.path to stay inside the model directory/],
    ['points to another host', withFile({ path: 'https://evil.example/x', role: 'vision' }), /to stay inside/],
    ['points to another host by two slashes', withFile({ path: '//evil.example/x', role: 'vision' }), /to stay inside/],
  ];
  for (const [what, manifest, message] of bad) {
    test(`that ${what} is refused, naming the entry`, () => {
      assert.throws(() => plan(manifest), (error: EmbedderError) => error.code === 'MODEL_INVALID' && error.message.startsWith(`${directory}model.json: `) && message.test(error.message));
    });
  }
});

describe('an input', () => {
  const base = 'https://page.example/a/';
  const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...bytesOf(30)]);
  const bytesIn = (input: Awaited<ReturnType<typeof copyInput>>): number[] => ('bytes' in input ? [...input.bytes] : assert.fail(JSON.stringify(input)));

  test('that is a bare string is text, even where it looks like an address', async () => {
    assert.deepEqual(await copyInput('https://x.example/cat.png', base), { text: 'https://x.example/cat.png' });
  });

  test('with an address is resolved against the page', async () => {
    assert.deepEqual(await copyInput({ image: 'cat.png' }, base), { url: 'https://page.example/a/cat.png' });
    assert.deepEqual(await copyInput({ image: new URL('https://x.example/c') }, base), { url: 'https://x.example/c' });
    assert.deepEqual(await copyInput({ image: '/9j.png' }, base), { url: 'https://page.example/9j.png' });
  });

  test('may be base64 text, or a data: URL, of any writing', async () => {
    const encoded = png.toString('base64');
    assert.deepEqual(bytesIn(await copyInput({ image: encoded }, base)), [...png]);
    assert.deepEqual(bytesIn(await copyInput({ image: `data:image/png;base64,${encoded}` }, base)), [...png]);
    assert.deepEqual(bytesIn(await copyInput({ image: `data:image/png;base64,${encodeURIComponent(encoded)}` }, base)), [...png]);
    assert.deepEqual(bytesIn(await copyInput({ image: 'data:,a%00%ffb' }, base)), [0x61, 0, 0xff, 0x62]);
    assert.deepEqual(bytesIn(await copyInput({ image: new URL(`data:image/png;base64,${encoded}`) }, base)), [...png]);
  });

  test('of a view holds the view and not its whole buffer, also of a Node Buffer', async () => {
    assert.deepEqual(bytesIn(await copyInput({ image: bytesOf(10).subarray(2, 4) }, base)), [...bytesOf(10).subarray(2, 4)]);
    const copy = await copyInput({ image: png }, base);
    assert.notEqual('bytes' in copy && copy.bytes.buffer, png.buffer);
  });

  test('of pixels is copied: the bitmap made is ours, the one given stays open', async () => {
    const given = { [Symbol.toStringTag]: 'ImageBitmap', close: () => assert.fail('closed') };
    const made = { ours: true };
    (globalThis as Record<string, unknown>)['createImageBitmap'] = async (source: unknown) => (assert.equal(source, given), made);
    assert.deepEqual(await copyInput({ image: given as unknown as ImageBitmap }, base), { bitmap: made });
    delete (globalThis as Record<string, unknown>)['createImageBitmap'];
    const data = { [Symbol.toStringTag]: 'ImageData', width: 1, height: 1, data: Uint8ClampedArray.of(1, 2, 3, 4) };
    const copy = await copyInput({ image: data as unknown as ImageData }, base);
    assert.ok('rgba' in copy && copy.rgba !== data.data);
    assert.deepEqual([...copy.rgba], [1, 2, 3, 4]);
  });

  test('that breaks a rule says so in its place', async () => {
    const message = async (input: unknown): Promise<string> => {
      const copy = await copyInput(input as string, base);
      return 'invalid' in copy ? copy.invalid.message : assert.fail(JSON.stringify(copy));
    };
    assert.match(await message(null), /must be a string, \{text\} or \{image\}, not Null/);
    assert.match(await message({ text: 3 }), /\{text\} must be a string, not Number/);
    assert.match(await message({ text: 'a', image: 'b' }), /this one is both/);
    assert.match(await message({ image: '' }), /empty string/);
    assert.match(await message({ image: 'data:nothing' }), /no comma/);
    assert.match(await message({ image: 'data:;base64,***' }), /base64/);
    assert.match(await message({ image: { [Symbol.toStringTag]: 'HTMLImageElement', complete: false } }), /has not loaded yet/);
    assert.match(await message({ image: new Float32Array(2) }), /not Float32Array/);
    const copied = await copyInput({ image: 'cat.png' }, undefined);
    assert.ok('invalid' in copied && /neither an address nor/.test(copied.invalid.message));
  });
});

describe('a message', () => {
  test('of others is none of ours', () => {
    for (const data of [null, 'x', {}, { protocol: 'other/1', type: 'open' }]) assert.equal(readToEngine(data), undefined);
  });

  test('of ours is checked', () => {
    const problem = (message: object): string => {
      const received = readToEngine({ protocol: PROTOCOL, ...message });
      return received !== undefined && 'problem' in received ? received.problem : assert.fail('accepted');
    };
    assert.match(problem({ type: 'toString' }), /unknown type "toString"/);
    assert.match(problem({ type: 'encode', id: 1, request: {} }), /malformed/);
    assert.match(problem({ type: 'abort', id: 1.5 }), /malformed/);
    assert.ok('message' in (readToEngine({ protocol: PROTOCOL, type: 'abort', id: 1 }) ?? {}));
  });
});

describe('availability', () => {
  test('tells the device and the bytes to download, and downloads only the description', async () => {
    const server = await serveFiles(modelDirectory());
    const all = await availability({ model: server.url });
    assert.equal(all.device, 'wasm');
    assert.equal(all.webgpu.reason?.code, 'WEBGPU_UNAVAILABLE');
    assert.deepEqual(all.download, { nFiles: 5, nBytes: 1_506_500, nBytesCached: 0 });
    const textOnly = await availability({ model: server.url, parts: { images: false, multivector: false }, device: 'webgpu' });
    assert.deepEqual([textOnly.device, textOnly.download?.nBytes], [null, 1_501_300]);
    assert.deepEqual(new Set(server.requests), new Set(['GET model.json']));
    await server.close();
  });

  test('reports a model that is not there, and does not reject', async () => {
    const server = await serveFiles({});
    assert.equal((await availability({ model: server.url })).modelError?.code, 'DOWNLOAD_FAILED');
    await server.close();
  });
});
