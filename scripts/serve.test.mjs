// Run by `node --test scripts/`. Real files, a real socket; raw requests where fetch would tidy the path.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serve } from './serve.mjs';

let folder;
let server;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'serve-test-'));
  await mkdir(join(folder, 'site/sub'), { recursive: true });
  await mkdir(join(folder, 'built'));
  await mkdir(join(folder, 'models/tiny'), { recursive: true });
  await mkdir(join(folder, 'site-private'));
  await writeFile(join(folder, 'secret.txt'), 'secret');
  await writeFile(join(folder, 'site-private/secret.txt'), 'secret');
  await writeFile(join(folder, 'site/.hidden'), 'secret');
  await symlink('../secret.txt', join(folder, 'site/link.txt'));
  await symlink('index.html', join(folder, 'site/inner.html'));
  await writeFile(join(folder, 'site/index.html'), '<!doctype html>');
  await writeFile(join(folder, 'site/sub/index.html'), 'sub');
  await writeFile(join(folder, 'site/with space.txt'), 'space');
  await writeFile(join(folder, 'site/empty.txt'), '');
  await writeFile(join(folder, 'built/main.js'), 'export {}');
  await writeFile(join(folder, 'built/a_bg.wasm'), Buffer.from([0, 0x61, 0x73, 0x6d]));
  await writeFile(join(folder, 'models/tiny/text.gguf'), '0123456789');
  server = await serve({
    mounts: [
      { path: '/', dir: join(folder, 'site') },
      { path: '/', dir: join(folder, 'built') },
      { path: '/models', dir: join(folder, 'models') },
    ],
    port: 0,
  });
});

after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const get = (path, options) => fetch(new URL(path, server.url), options);

/** Sends the request line exactly as given and returns the whole answer. */
function raw(line, port = server.port) {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => done(text)).on('error', fail);
  });
}

test('every answer is cross-origin isolated and says what type it is', async () => {
  for (const [path, type] of [['/', 'text/html; charset=utf-8'], ['/main.js', 'text/javascript; charset=utf-8'],
    ['/a_bg.wasm', 'application/wasm'], ['/models/tiny/text.gguf', 'application/octet-stream'], ['/none', 'text/plain; charset=utf-8']]) {
    const { headers, body } = await get(path);
    await body.cancel();
    assert.equal(headers.get('content-type'), type, path);
    assert.equal(headers.get('cross-origin-opener-policy'), 'same-origin', path);
    assert.equal(headers.get('cross-origin-embedder-policy'), 'require-corp', path);
    assert.equal(headers.get('cross-origin-resource-policy'), 'cross-origin', path);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
  }
});

test('folders that share a path are asked in the given order', async () => {
  assert.equal(await (await get('/')).text(), '<!doctype html>');
  assert.equal(await (await get('/main.js')).text(), 'export {}');
  assert.equal(await (await get('/with%20space.txt?v=1')).text(), 'space');
});

test('a folder without its slash is redirected to its page', async () => {
  const response = await get('/sub', { redirect: 'manual' });
  assert.equal(response.status, 308);
  assert.equal(response.headers.get('location'), '/sub/');
  assert.equal(await (await get('/sub')).text(), 'sub');
});

test('a range is answered with exactly those bytes', async () => {
  for (const [range, expected, contentRange] of [
    ['bytes=0-3', '0123', 'bytes 0-3/10'], ['bytes=4-', '456789', 'bytes 4-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'], ['bytes=8-99', '89', 'bytes 8-9/10'], ['bytes=-99', '0123456789', 'bytes 0-9/10']]) {
    const response = await get('/models/tiny/text.gguf', { headers: { range } });
    assert.equal(response.status, 206, range);
    assert.equal(response.headers.get('content-range'), contentRange);
    assert.equal(response.headers.get('content-length'), String(expected.length));
    assert.equal(await response.text(), expected);
  }
});

test('a range outside the file is refused with its size', async () => {
  for (const [path, range] of [['/models/tiny/text.gguf', 'bytes=10-'], ['/models/tiny/text.gguf', 'bytes=-0'], ['/empty.txt', 'bytes=0-0']]) {
    const response = await get(path, { headers: { range } });
    assert.equal(response.status, 416, range);
    assert.match(response.headers.get('content-range'), /^bytes \*\/(10|0)$/);
  }
});

test('a range that is malformed, multiple or of another version yields the whole file', async () => {
  for (const headers of [{ range: 'bytes=3-1' }, { range: 'bytes=a-b' }, { range: 'items=0-1' }, { range: 'bytes=0-1,3-4' },
    { range: 'bytes=0-1', 'if-range': '"another"' }]) {
    const response = await get('/models/tiny/text.gguf', { headers });
    assert.equal(response.status, 200, JSON.stringify(headers));
    assert.equal(await response.text(), '0123456789');
  }
});

test('HEAD tells size and ranges without a body', async () => {
  const response = await get('/models/tiny/text.gguf', { method: 'HEAD' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), '10');
  assert.equal(response.headers.get('accept-ranges'), 'bytes');
  assert.equal(await response.text(), '');
  assert.equal((await get('/none', { method: 'HEAD' })).status, 404);
});

test('an unchanged file is not sent again', async () => {
  const etag = (await get('/main.js')).headers.get('etag');
  const response = await get('/main.js', { headers: { 'if-none-match': etag } });
  assert.equal(response.status, 304);
});

test('an empty file is served', async () => {
  const response = await get('/empty.txt');
  assert.equal(response.status, 200);
  assert.equal(await response.text(), '');
});

test('no path leads out of the folders', async () => {
  for (const path of ['/../secret.txt', '/sub/../../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/..%5csecret.txt',
    '/%2e%2e%2fsite-private/secret.txt', '/../site-private/secret.txt', '/models/../../secret.txt', '/.hidden', '/link.txt',
    '/%00', '/%', '//secret.txt', '/secret.txt%00.html', 'secret.txt', 'http://other/../secret.txt']) {
    const answer = await raw(`GET ${path}`);
    assert.match(answer, /^HTTP\/1\.1 (400|404) /, path);
    assert.doesNotMatch(answer, /\r\n\r\nsecret/, path);
  }
  assert.match(await raw('GET /inner.html'), /^HTTP\/1\.1 200 /);
});

test('other methods are refused', async () => {
  const response = await get('/', { method: 'POST', body: 'x' });
  assert.equal(response.status, 405);
  assert.equal(response.headers.get('allow'), 'GET, HEAD');
});

test('a taken port leads to the next free one', async () => {
  const second = await serve({ mounts: [{ path: '/', dir: join(folder, 'site') }], port: server.port });
  try {
    assert.ok(second.port > server.port);
    assert.equal((await fetch(second.url)).status, 200);
  } finally {
    await second.close();
  }
});

test('the command prints its URL and ends on SIGTERM', async () => {
  const script = fileURLToPath(new URL('./serve.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, join(folder, 'site'), '--mount', `/models=${join(folder, 'models')}`, '--port', '0', '--quiet']);
  const url = await new Promise((done) => { child.stdout.setEncoding('utf8').once('data', done); });
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/\n$/);
  assert.equal(await (await fetch(new URL('models/tiny/text.gguf', url.trim()))).text(), '0123456789');
  const ended = new Promise((done) => { child.once('exit', done); });
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});

test('the command explains a bad option', async () => {
  const script = fileURLToPath(new URL('./serve.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, '--mount', 'models']);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
  assert.equal(await new Promise((done) => { child.once('exit', done); }), 1);
  assert.match(text, /--mount needs \/PATH=DIR, found 'models'/);
});
