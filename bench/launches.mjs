#!/usr/bin/env node
// What a call costs the page's thread, beside what the GPU computes: with short texts a graphics card waits for it.
//
//   node bench/launches.mjs MODEL_DIR [--calls N] [--tokens N] [--dist DIR] [--hardware]
//
//   MODEL_DIR   of `jina-embed convert`; ~/.cache/jina-embeddings-web/bench-models/tiny-q8_0 after `make bench`
//   --calls     that are sampled (default 50), after ten that are not
//   --tokens    of the text (default 16)
//   --dist      another build of the package than pkg-config/dist, to compare with
//   --hardware  let Chromium choose its WebGPU adapter (default: SwiftShader)
//
// The model computes in the page itself (`worker: false`), whose thread Chromium's profiler samples.

import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from '../scripts/serve.mjs';
import { launcher } from './browser.mjs';

const root = resolve(import.meta.dirname, '..');
const SAMPLE_MICROSECONDS = 200;

const { values: options, positionals: [directory] } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: 'string', default: '50' },
    tokens: { type: 'string', default: '16' },
    dist: { type: 'string', default: join(root, 'pkg-config/dist') },
    hardware: { type: 'boolean', default: false },
  },
});
if (directory === undefined) throw new Error('which model? node bench/launches.mjs MODEL_DIR');
const [nCalls, nTokens] = [Number(options.calls), Number(options.tokens)];

const site = await serve({ mounts: [{ path: '/', dir: join(root, 'bench/page') }, { path: '/jina-embeddings-web', dir: options.dist }, { path: '/model', dir: directory }], port: 0 });
const browser = await (await launcher(options.hardware))();
try {
  const page = await browser.newPage();
  await page.goto(`${site.url}launches.html`);
  await page.waitForFunction(() => 'call' in globalThis);
  await page.evaluate(() => globalThis.load('/model/'));
  const call = (n) => page.evaluate((given) => globalThis.call(...given), [n, nTokens]);
  await call(10);
  const profiler = await page.context().newCDPSession(page);
  await profiler.send('Profiler.enable');
  await profiler.send('Profiler.setSamplingInterval', { interval: SAMPLE_MICROSECONDS });
  await profiler.send('Profiler.start');
  const { launches, adapter } = await call(nCalls);
  const { profile } = await profiler.send('Profiler.stop');
  const ms = Object.fromEntries(Object.entries(share(profile)).map(([where, sum]) => [where, Math.round(sum / nCalls * 100) / 100]));
  const microseconds_of_a_launch = Math.round((ms.wasm + ms.javascript_and_browser + ms.collector) * 1000 / launches);
  console.log(JSON.stringify({ chromium: browser.version(), adapter, calls: nCalls, tokens: nTokens, launches_of_a_call: launches, ms_of_a_call: ms, microseconds_of_a_launch }, null, 2));
} finally {
  await browser.close();
  await site.close();
}

/** Milliseconds of the samples, by who had the thread. */
function share({ nodes, samples, timeDeltas }) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const ms = { wasm: 0, javascript_and_browser: 0, collector: 0, waiting: 0 };
  samples.forEach((id, i) => {
    const { functionName, url } = frames.get(id);
    const where = functionName === '(idle)' ? 'waiting' : functionName === '(garbage collector)' ? 'collector' : url.endsWith('.wasm') ? 'wasm' : 'javascript_and_browser';
    ms[where] += timeDeltas[i] / 1000;
  });
  return ms;
}
