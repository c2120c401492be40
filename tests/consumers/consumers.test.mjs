// The packed package, installed as its users install it, in each place it is made for: built where there is
// something to build, and run. Needs `npm run build --prefix pkg-config` and `scripts/setup.sh consumers`.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { browser, CONSUMERS, filesOf, hostedServer, install, modelDirectory, node, outcomeOf, ROOT, serve, swiftShader, tool, transpile } from './support.mjs';

let api;
before(async () => { api = await hostedServer(); });
after(async () => {
  await api.close();
  await (await browser()).close();
});

/** Serves a folder with the model beside it, as a page finds them. */
const serveWithModel = (folder) => serve([{ path: '/', dir: folder }, { path: '/model', dir: modelDirectory() }]);

describe('Vite', () => {
  test('builds a page that computes in its worker, searches in another, falls back, and asks the hosted API', async () => {
    const app = install('vite');
    tool(app, 'vite/bin/vite.js', ['build']);
    const site = await serveWithModel(join(app, 'dist'));
    try {
      const { device, local, search, hosted } = await outcomeOf(site.url, api);
      assert.equal(device, 'wasm');
      assert.deepEqual(local.slice(0, 2), ['local', 'wasm']);
      for (const square of local[2]) assert.ok(Math.abs(square - 1) < 1e-4, `${square}`);
      assert.deepEqual(search, ['hybrid', 'opfs', ['bread: Bread\n\nIt rises.', 'cat: A cat sleeps.']]);
      assert.deepEqual(hosted, ['hosted', 3, 4]);
    } finally {
      await site.close();
    }
  });
});

describe('a page without a bundler', () => {
  test("computes under a content security policy of script-src 'self' 'wasm-unsafe-eval'", async () => {
    // On every answer, since a worker has the policy of its own script.
    const policy = { 'Content-Security-Policy': "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self'" };
    const folder = install('plain');
    cpSync(join(ROOT, 'www/demo/public/samples/coffee.jpg'), join(folder, 'coffee.jpg'));
    const site = await serve([{ path: '/', dir: folder }, { path: '/model', dir: modelDirectory() }], policy);
    const asked = api.requests.length;
    try {
      const { local, found, hosted, refused, fallback } = await outcomeOf(site.url, api);
      assert.deepEqual(local, ['local', 'wasm', 128]);
      assert.deepEqual(found, [['opfs', 'b,a'], ['indexeddb', 'b,a']]);
      assert.deepEqual([refused, fallback], ['HOSTED_KEY_EXPOSED', ['hosted', 'NO_ADAPTER']]);
      assert.deepEqual(hosted, ['hosted', 6, 6]);
      const [{ body }] = api.requests.slice(asked);
      const [address, own, ...pixels] = body.input.map(({ image }) => image);
      assert.equal(address, 'https://elsewhere.example/cat.jpg');
      // A picture of the page's own, which a server on the Internet may not see, is fetched here.
      assert.deepEqual(Buffer.from(own, 'base64'), readFileSync(join(folder, 'coffee.jpg')));
      for (const png of pixels) assert.equal(Buffer.from(png, 'base64').toString('latin1', 1, 4), 'PNG');
      assert.equal(new Set(pixels.slice(0, 3)).size, 1, 'a canvas, its bitmap and its pixels are one picture');
      assert.equal(pixels.length, 4);
    } finally {
      await site.close();
    }
  });
});

describe('Next.js', () => {
  test('builds and renders on the server a page that imports the package and asks the hosted API', async () => {
    const app = install('next');
    tool(app, 'next/dist/bin/next', ['build'], { TEST_API: api.url });
    const served = filesOf(join(app, '.next/static'));
    assert.ok(served.length > 0);
    assert.ok(!served.some(({ text }) => text.includes('jina_key_of_the_server')), 'the key reached what a browser loads');
    const server = spawn(process.execPath, [join(CONSUMERS, 'node_modules/next/dist/bin/next'), 'start', '--port', '0', '--hostname', '127.0.0.1'], { cwd: app, env: { ...process.env, TEST_API: api.url, NEXT_TELEMETRY_DISABLED: '1' }, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const url = await new Promise((resolve, reject) => {
        let text = '';
        server.stdout.on('data', (chunk) => {
          text += chunk;
          const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text);
          if (found && text.includes('Ready')) resolve(found[0]);
        });
        server.on('exit', () => reject(new Error(`next start ended:\n${text}`)));
      });
      const page = await (await fetch(url)).text();
      assert.match(page, /<p id="server">hosted 3 4<\/p>/);
      assert.match(page, /<button type="button">same<\/button>/);
      assert.ok(!page.includes('jina_key_of_the_server'));
    } finally {
      server.kill();
    }
  });
});

describe('workerd', () => {
  test('runs the hosted client, refuses to compute, and falls back', async () => {
    const app = install('edge');
    const { build } = createRequire(join(ROOT, 'pkg-config/package.json'))('esbuild');
    const { Miniflare } = await import(pathToFileURL(createRequire(join(CONSUMERS, 'package.json')).resolve('miniflare')).href);
    // As wrangler bundles.
    const { outputFiles } = await build({ entryPoints: [join(app, 'worker.js')], bundle: true, format: 'esm', target: 'es2022', conditions: ['workerd', 'worker', 'browser'], write: false, logLevel: 'error' });
    const miniflare = new Miniflare({ modules: [{ type: 'ESModule', path: 'worker.js', contents: outputFiles[0].text }], compatibilityDate: '2026-01-01', bindings: { TEST_API: api.url } });
    try {
      const response = await miniflare.dispatchFetch('http://worker/');
      assert.deepEqual(await response.json(), { source: 'hosted', first: 3, local: 'EmbedderError LOCAL_UNAVAILABLE', fallback: 'hosted', reasons: ['LOCAL_UNAVAILABLE'] });
    } finally {
      await miniflare.dispose();
    }
  });
});

describe('Node', () => {
  let app;
  before(() => { app = install('node'); });

  test('imports every entry without a trace, and finds the names that a page finds', async () => {
    const { names, page, added } = JSON.parse(await node(app, ['imports.mjs']));
    assert.deepEqual(names[''], ['EmbedderError', 'availability', 'cachedWeights', 'clearWeights', 'compareSpaces', 'createEmbedder', 'forgetDevice', 'isEmbedderError']);
    assert.deepEqual(page, names['']);
    assert.deepEqual(names['/hosted'], ['EmbedderError', 'compareSpaces', 'createHostedEmbedder', 'isEmbedderError']);
    assert.deepEqual(names['/openai'], ['toOpenAI']);
    assert.equal(added, 0);
  });

  test('computes on the CPU, and on a GPU through the package webgpu, the same vectors', async () => {
    const cpu = JSON.parse(await node(app, ['local.mjs', modelDirectory(), 'wasm']));
    assert.deepEqual([cpu.possible, cpu.device, cpu.leftGlobals], ['wasm', 'wasm', 0]);
    assert.match(cpu.outside, /files are opened for the model alone/);
    const gpu = JSON.parse(await node(app, ['local.mjs', modelDirectory(), 'webgpu'], swiftShader()));
    assert.deepEqual([gpu.possible, gpu.device, gpu.leftGlobals], ['webgpu', 'webgpu', 0]);
    const differences = cpu.vectors.flatMap((vector, i) => vector.map((x, j) => Math.abs(x - gpu.vectors[i][j])));
    // The bound of the browser tests for f32 arithmetic on two devices.
    assert.ok(Math.max(...differences) <= 1e-4, `${Math.max(...differences)}`);
    assert.equal(cpu.vectors[0].length, 128);
  });
});

/** The libraries that the adapters are for lie with the package's own tools. */
function linkLibraries(app) {
  for (const name of ['@langchain', 'ai', 'openai', '@ai-sdk']) {
    const link = join(app, 'node_modules', name);
    if (!existsSync(link)) symlinkSync(join(ROOT, 'pkg-config/node_modules', name), link);
  }
}

describe('the examples of the README', () => {
  const examples = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts run\n(.*?)^```$/gms)].map(([, code]) => code);

  test('are there', () => assert.ok(examples.length >= 4, `${examples.length}`));

  test('compile in the strictest reading', () => {
    const app = join(CONSUMERS, 'apps/node');
    linkLibraries(app);
    examples.forEach((code, i) => writeFileSync(join(app, `example-${i}.ts`), code));
    writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({
      compilerOptions: {
        strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: true,
        target: 'es2022', module: 'esnext', moduleResolution: 'bundler', moduleDetection: 'force', lib: ['es2023', 'dom'],
        types: ['node'], typeRoots: [join(ROOT, 'pkg-config/node_modules/@types')],
      },
      files: examples.map((_, i) => `example-${i}.ts`),
    }));
    const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'pkg-config/node_modules/typescript/bin/tsc'), '--project', app], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });

  examples.forEach((code, i) => {
    test(`number ${i + 1} runs as it stands: ${code.split('\n')[0]}`, async () => {
      const app = join(CONSUMERS, 'apps/node');
      cpSync(modelDirectory(), join(app, 'models/v4'), { recursive: true });
      linkLibraries(app);
      writeFileSync(join(app, `example-${i}.mjs`), transpile(code));
      const before = api.requests.length;
      const out = await node(app, ['--import', './fake-api.mjs', `example-${i}.mjs`], { TEST_API: api.url, JINA_API_KEY: 'jina_key_of_the_example' });
      assert.notEqual(out.trim(), '');
      assert.ok(!out.includes('jina_key_of_the_example'));
      assert.ok(api.requests.length > before || code.includes('only-local') || !code.includes('hosted'));
    });
  });
});
