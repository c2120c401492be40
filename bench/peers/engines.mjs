// One engine, open and answering: in a page of a browser of its own, or as a process that is driven by lines.
//
//   embed(input) -> { ms, vector }   input: { text, ids } or { picture: [width, height] }
//   notes                            what the engine says about itself
//   close()
//
// An engine stays open for all cases of its group, and computes only when it is asked: that is what lets engines take
// turns.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { launcher } from '../browser.mjs';
import { serve } from '../../scripts/serve.mjs';

const root = join(import.meta.dirname, '../..');

/** A call that takes longer has gone wrong. */
const MAX_CALL_MS = 20 * 60_000;
const MAX_OPEN_MS = 5 * 60_000;

/** `what` or, after `ms`, an error that names it. */
async function within(ms, name, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: no answer within ${ms / 60_000} minutes`)), ms);
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The browser's side.
 *
 * - `folders`: what the pages fetch: `models`, `modules` (npm packages of the peers)
 * - returns: `version`, `adapter` (null without WebGPU), `open(engine, plan)` and `close()`
 */
export async function openChromium({ folders, hardware }) {
  const launch = await launcher(hardware);
  const site = await serve({
    mounts: [
      { path: '/', dir: join(root, 'bench/page') },
      { path: '/jina-embeddings-web', dir: join(root, 'pkg-config/dist') },
      { path: '/onnxruntime-web', dir: join(folders.modules, 'onnxruntime-web/dist') },
      { path: '/wllama', dir: join(folders.modules, '@wllama/wllama/esm') },
      { path: '/models', dir: folders.models },
    ],
    port: 0,
  });

  /** A page that can open an engine. */
  async function openPage() {
    const browser = await launch();
    const page = await browser.newPage();
    await page.goto(`${site.url}peers/`);
    await page.waitForFunction(() => 'openEngine' in globalThis);
    return { browser, page };
  }

  async function open(engine, plan) {
    const { browser, page } = await openPage();
    try {
      const opened = page.evaluate(([name, given]) => globalThis.openEngine(name, given), [engine, plan]);
      const { notes } = await within(MAX_OPEN_MS, engine, opened);
      return {
        notes,
        embed: (input) => within(MAX_CALL_MS, engine, page.evaluate((given) => globalThis.embed(given), input)),
        close: () => browser.close(),
      };
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  const { browser, page } = await openPage();
  const version = browser.version();
  const adapter = await page.evaluate(() => globalThis.adapter());
  await browser.close();
  return { version, adapter, open, close: () => site.close() };
}

/** A process that writes `{ notes }` once, and then one line for each line that it reads. */
export async function openProcess(name, program, args, { threads, env }) {
  // Some engines count the cores they may use, others read a number: both are told.
  const pinned = threads && process.platform === 'linux' ? ['taskset', ['--cpu-list', `0-${threads - 1}`, program, ...args]] : [program, args];
  const child = spawn(...pinned, { env: { ...process.env, ...env, ...(threads && { RAYON_NUM_THREADS: String(threads) }) }, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-2000); });
  const lines = createInterface({ input: child.stdout });
  const waiting = [];
  lines.on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  let ended;
  const end = (reason) => {
    ended ??= new Error(`${name}: ${reason}: ${said.trim().split('\n').at(-1)}`);
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  child.once('error', (error) => end(error.message));
  child.once('close', (code) => end(`ended with status ${code}`));
  child.stdin.on('error', () => {}); // its end says more
  const answer = () => new Promise((resolve, reject) => {
    if (ended) reject(ended);
    else waiting.push({ resolve, reject });
  });
  const close = async () => {
    child.stdin.end();
    if (!ended) await new Promise((done) => { child.once('close', done); setTimeout(() => child.kill('SIGKILL'), 5000).unref(); });
  };
  try {
    const { notes } = await within(MAX_OPEN_MS, name, answer());
    return {
      notes,
      async embed(input) {
        const found = answer();
        child.stdin.write(`${JSON.stringify(input)}\n`);
        const { error, ms, vector } = await within(MAX_CALL_MS, name, found);
        if (error) throw new Error(`${name}: ${error}`);
        const length = Math.hypot(...vector);
        return { ms, vector: vector.map((value) => value / length) };
      },
      close,
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
