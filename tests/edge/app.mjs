// The example Worker as it is deployed: installed, bundled, and run in workerd; and a server that speaks
// the hosted API.

import { createServer } from 'node:http';
import { cpSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CONSUMERS, ROOT, install } from '../consumers/support.mjs';

const packaged = createRequire(join(ROOT, 'pkg-config/package.json'));
const WASM = 'wasm/jina_embeddings_edge_bg.wasm';

/** The example with the packed package in place of the published one. */
export function installExample() {
  const app = install('edge-worker', { from: join(ROOT, 'tests/edge/app') });
  cpSync(join(ROOT, 'examples/edge-worker/src'), app, { recursive: true });
  return { app, packaged: join(app, 'node_modules/jina-embeddings-web') };
}

/** Runs a Worker in workerd, bundled as wrangler bundles: the condition `workerd`, `.wasm` a module of its own. */
export async function workerd({ app, packaged: folder }, bindings) {
  const { outputFiles } = await packaged('esbuild').build({
    entryPoints: [join(app, 'index.js')],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['*.wasm'],
    write: false,
    logLevel: 'error',
  });
  const { Miniflare } = await import(pathToFileURL(createRequire(join(CONSUMERS, 'package.json')).resolve('miniflare')).href);
  const worker = new Miniflare({
    modules: [
      { type: 'ESModule', path: 'worker.js', contents: outputFiles[0].text },
      { type: 'CompiledWasm', path: WASM, contents: readFileSync(join(folder, 'dist', WASM)) },
    ],
    compatibilityDate: '2026-01-01',
    bindings,
  });
  return { worker, n_bytes: outputFiles[0].contents.length };
}

/** The words of a text as a vector: each adds to a few numbers, so texts that share words are alike. */
export function bagOfWords(text, dimensions) {
  const vector = new Array(dimensions).fill(0);
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    let hash = 2166136261;
    for (const character of word) hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
    for (let i = 0; i < 8; i++) {
      hash = Math.imul(hash ^ (hash >>> 15), 2246822519) >>> 0;
      vector[hash % dimensions] += hash & 1024 ? 1 : -1;
    }
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

/** A server that embeds by {@link bagOfWords}, for one key, and keeps what it was asked. */
export async function embeddingServer(key) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    const send = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.headers.authorization !== `Bearer ${key}`) return send(401, { detail: 'Authentication required', code: 'AUTH_MISSING_API_KEY' });
    const body = JSON.parse(Buffer.concat(chunks).toString());
    requests.push(body);
    const texts = [body.input].flat().map((input) => input.text ?? input);
    const data = texts.map((text, index) => ({ object: 'embedding', index, embedding: bagOfWords(text, body.dimensions) }));
    return send(200, { object: 'list', model: body.model, data, usage: { total_tokens: texts.length, prompt_tokens: texts.length } });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    requests,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A file of tests/fixtures. */
export const fixture = (path) => readFileSync(join(ROOT, 'tests/fixtures', path));
