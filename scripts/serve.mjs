#!/usr/bin/env node
// A static file server for the demo and the browser tests: cross-origin isolated (WebAssembly
// threads and precise clocks need it), correct types, byte ranges for large weight files.
//
//   node scripts/serve.mjs [DIR] [--mount /PATH=DIR]... [--port N] [--host ADDRESS] [--quiet]
//
//   DIR      served at /, the same as --mount /=DIR
//   --mount  a folder under a path; the longest path wins, and where it lacks the file the next one
//            is asked, so several folders can share one path
//   --port   8080 by default; the next free one if it is taken; 0 for any
//   --host   127.0.0.1 by default: only this machine
//
// It prints `http://HOST:PORT/` as soon as it answers, and ends on SIGINT or SIGTERM. No dependencies.
// As a module: `await serve({ mounts: [{ path: '/', dir: 'www/demo' }], port: 0 })` -> { url, close }.

import { createReadStream } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const TYPES = new Map(Object.entries({
  '.css': 'text/css; charset=utf-8',
  '.gguf': 'application/octet-stream',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
}));

// `require-corp` lets a page use only what allows it, so everything here says that it does, and a
// page on another local port may use this server too.
const HEADERS = {
  'Accept-Ranges': 'bytes',
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'Accept-Ranges, Content-Length, Content-Range, ETag',
  'Cache-Control': 'no-cache',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'X-Content-Type-Options': 'nosniff',
};

/** How many ports after the wanted one are tried. */
const PORT_TRIES = 50;

/**
 * `headers` are set on every answer besides the server's own.
 *
 * @param {{ mounts: { path: string, dir: string }[], port?: number, host?: string, headers?: Record<string, string>, log?: (line: string) => void }} options
 * @returns {Promise<{ url: string, port: number, close: () => Promise<void> }>}
 */
export async function serve({ mounts, port = 8080, host = '127.0.0.1', headers = {}, log = () => {} }) {
  const folders = await Promise.all(mounts.map(async ({ path, dir }) => {
    const prefix = `/${path.split('/').filter(Boolean).join('/')}/`.replace('//', '/');
    return { prefix, root: await realpath(dir) };
  }));
  folders.sort((a, b) => b.prefix.length - a.prefix.length); // stable: same path, given order

  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    answer(folders, request, response).then(
      () => log(`${request.method} ${request.url} ${response.statusCode}`),
      (error) => {
        // A page that goes away in the middle of a file is not a fault of the server.
        if (error.code === 'ERR_STREAM_PREMATURE_CLOSE') return;
        log(`${request.method} ${request.url} ${error.stack}`);
        if (response.headersSent) response.destroy();
        else refuse(request, response, 500, 'Internal server error');
      },
    );
  });
  const bound = await listen(server, host, port);
  const shown = host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${shown}:${bound}/`,
    port: bound,
    close: () => new Promise((done) => {
      server.close(() => done());
      server.closeAllConnections();
    }),
  };
}

async function listen(server, host, wanted) {
  const last = wanted === 0 ? 0 : Math.min(wanted + PORT_TRIES, 65535);
  for (let port = wanted; ; port += 1) {
    try {
      await new Promise((done, fail) => {
        server.once('error', fail);
        server.listen(port, host, () => {
          server.removeListener('error', fail);
          done();
        });
      });
      return server.address().port;
    } catch (error) {
      if (error.code !== 'EADDRINUSE' || port >= last) throw error;
    }
  }
}

async function answer(folders, request, response) {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return refuse(request, response, 405, 'Only GET and HEAD');
  }
  const segments = pathSegments(request.url);
  if (segments === null) return refuse(request, response, 400, 'Malformed path');

  const found = await find(folders, segments);
  if (found === null) return refuse(request, response, 404, 'Not found');
  if (found.folder) {
    // Relative links of a page work only under a path that ends with a slash.
    response.setHeader('Location', `/${segments.map(encodeURIComponent).join('/')}/`);
    return refuse(request, response, 308, 'A folder');
  }
  const { handle, path, stat } = found;
  try {
    await send(request, response, handle, path, stat);
  } finally {
    await handle.close().catch(() => {});
  }
}

/** The decoded parts of a URL's path, the last one '' for a folder; null if they cannot be a file's. */
export function pathSegments(url) {
  const raw = url.split(/[?#]/, 1)[0];
  if (!raw.startsWith('/')) return null;
  const segments = [];
  const parts = raw.split('/').slice(1);
  for (const [i, part] of parts.entries()) {
    let segment;
    try {
      segment = decodeURIComponent(part);
    } catch {
      return null;
    }
    if (segment === '' && i < parts.length - 1) continue;
    // A decoded separator, a NUL, or a hidden name (with it `.` and `..`): never served.
    if (segment.startsWith('.') || /[/\\\0]/.test(segment)) return null;
    segments.push(segment);
  }
  return segments;
}

async function find(folders, segments) {
  const path = `/${segments.join('/')}`;
  for (const { prefix, root } of folders) {
    if (!`${path}/`.startsWith(prefix)) continue;
    const within = path.slice(prefix.length - 1) || '/';
    const wanted = join(root, within.endsWith('/') ? `${within}index.html` : within);
    const real = await realpath(wanted).catch(() => null);
    // Links may point about inside a folder, not out of it.
    if (real === null || !(real === root || real.startsWith(root + sep))) continue;
    const handle = await open(real, 'r').catch(() => null);
    if (handle === null) continue;
    const stat = await handle.stat();
    if (stat.isFile()) return { handle, path: real, stat };
    await handle.close();
    if (stat.isDirectory() && await realpath(join(real, 'index.html')).catch(() => null)) return { folder: true };
  }
  return null;
}

async function send(request, response, handle, path, stat) {
  const etag = `"${stat.size.toString(16)}-${Math.round(stat.mtimeMs).toString(16)}"`;
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  response.setHeader('Content-Type', TYPES.get(extname(path).toLowerCase()) ?? 'application/octet-stream');
  response.setHeader('ETag', etag);
  response.setHeader('Last-Modified', stat.mtime.toUTCString());

  if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) {
    response.writeHead(304);
    return void response.end();
  }
  const ifRange = request.headers['if-range'];
  const range = ifRange !== undefined && ifRange !== etag ? null : parseRange(request.headers.range, stat.size);
  if (range === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${stat.size}`);
    return refuse(request, response, 416, 'No such range');
  }
  const { start, end } = range ?? { start: 0, end: stat.size - 1 };
  if (range !== null) response.setHeader('Content-Range', `bytes ${start}-${end}/${stat.size}`);
  response.setHeader('Content-Length', end - start + 1);
  response.writeHead(range === null ? 200 : 206);
  if (request.method === 'HEAD' || end < start) return void response.end();
  await pipeline(createReadStream(null, { fd: handle, start, end, autoClose: false }), response);
}

/**
 * One range of a `Range` header, clipped to the file. null where the header is to be ignored: it is
 * absent, malformed, of another unit, or asks for several ranges (RFC 9110, 14.2).
 */
export function parseRange(header, nBytes) {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    return suffix === 0 || nBytes === 0 ? 'unsatisfiable' : { start: Math.max(0, nBytes - suffix), end: nBytes - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? nBytes - 1 : Math.min(Number(match[2]), nBytes - 1);
  if (match[2] !== '' && Number(match[2]) < start) return null;
  return start >= nBytes ? 'unsatisfiable' : { start, end };
}

function refuse(request, response, status, message) {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const body = `${status} ${message}\n`;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.writeHead(status);
  response.end(request.method === 'HEAD' ? undefined : body);
}

function parseArguments(args) {
  const options = { mounts: [], port: 8080, host: '127.0.0.1', log: console.error };
  for (let i = 0; i < args.length; i += 1) {
    const value = () => {
      i += 1;
      if (args[i] === undefined) throw new Error(`${args[i - 1]} needs a value`);
      return args[i];
    };
    switch (args[i]) {
      case '--mount': {
        const [, path, dir] = /^(\/[^=]*)=(.+)$/.exec(value()) ?? [];
        if (path === undefined) throw new Error(`--mount needs /PATH=DIR, found '${args[i]}'`);
        options.mounts.push({ path, dir: resolve(dir) });
        break;
      }
      case '--port': {
        options.port = Number(value());
        if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65535) {
          throw new Error(`--port needs a number from 0 to 65535, found '${args[i]}'`);
        }
        break;
      }
      case '--host': options.host = value(); break;
      case '--quiet': options.log = () => {}; break;
      default:
        if (args[i].startsWith('-')) throw new Error(`unknown option '${args[i]}'`);
        options.mounts.push({ path: '/', dir: resolve(args[i]) });
    }
  }
  if (options.mounts.length === 0) options.mounts.push({ path: '/', dir: process.cwd() });
  return options;
}

if (process.argv[1] !== undefined && await realpath(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const server = await serve(parseArguments(process.argv.slice(2)));
    console.log(server.url);
    const stop = () => server.close().then(() => process.exit(0));
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
  } catch (error) {
    console.error(`serve: ${error.message}`);
    process.exit(1);
  }
}
