// Long use: many calls of mixed sizes on one embedder, and many embedders one after the other. GPU bytes are counted from
// outside the package, listeners and the JavaScript heap by the browser after a garbage collection.
//
//   JINA_SOAK=2000,50   calls and cycles (scripts/test-large.sh); fewer in the tests of every day
import { appendFileSync } from 'node:fs';
import type { CDPSession, Page } from '@playwright/test';
import { counted, countGpu } from './support/gpu-counter';
import { Lab, must } from './support/lab';
import type { LabInput } from './support/lab';
import { expect, test } from './support/test';

const [CALLS, CYCLES] = (process.env['JINA_SOAK'] ?? '60,4').split(',').map(Number) as [number, number];
/** Calls after which every buffer size, shader and listener has been seen. */
const WARM_CALLS = 20;
const WARM_CYCLES = 2;
const TINY = '/models/tiny';
const TASKS = ['retrieval.passage', 'text-matching', 'code.query'] as const;
const PICTURE = { image: '/fixtures/tiny/golden/images/emoji_alpha_64.png' };
const WORDS = ['river', 'stone', 'cloud', 'lamp', 'seven', 'winter', 'paper', 'glass'];

test.describe.configure({ timeout: Math.max(300_000, CALLS * 3_000, CYCLES * 20_000) });

interface Use { gpu: number; wasm: number; listeners: number; heap: number }

/** mulberry32: the same calls in every run. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

async function settled(session: CDPSession, page: Page): Promise<Pick<Use, 'gpu' | 'listeners' | 'heap'>> {
  await session.send('HeapProfiler.collectGarbage');
  const { jsEventListeners } = await session.send('Memory.getDOMCounters');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  return { gpu: (await counted(page)).bytes, listeners: jsEventListeners, heap: usedSize };
}

/** For the record that is kept of long runs. */
function record(what: string, before: Use, after: Use): void {
  const line = (['gpu', 'wasm', 'listeners', 'heap'] as const).map((name) => `${name} ${before[name]} -> ${after[name]}`).join(', ');
  console.log(`${what}: ${line}`);
  const path = process.env['JINA_RECORD'];
  if (path !== undefined) appendFileSync(path, `| ${what} | ${(['gpu', 'wasm', 'listeners', 'heap'] as const).map((name) => `${before[name]} | ${after[name]}`).join(' | ')} |\n`);
}

/**
 * The runtime below never lets go of a device, and its tables lie in the WebAssembly memory of the thread: a worker's
 * ends with it, a page's stays.
 */
const WASM_OF_A_DEVICE = 1 << 20;

/** Nothing may grow; the heap, which also holds what the browser keeps of compiled code and of the test itself, not by much. */
function expectNoGrowth(before: Use, after: Use, nDevices = 0): void {
  expect(after.gpu, 'GPU bytes').toBeLessThanOrEqual(before.gpu);
  expect(after.wasm, 'WebAssembly memory').toBeLessThanOrEqual(before.wasm + nDevices * WASM_OF_A_DEVICE);
  expect(after.listeners, 'listeners').toBeLessThanOrEqual(before.listeners);
  expect(after.heap, 'JavaScript heap').toBeLessThanOrEqual(before.heap + (8 << 20));
}

test.describe('long use', () => {
  let lab: Lab, session: CDPSession;
  test.beforeEach(async ({ page, site }) => {
    await countGpu(page);
    lab = await Lab.open(page, site);
    session = await page.context().newCDPSession(page);
  });

  test(`${CALLS} calls of mixed sizes leave no bytes and no listeners behind`, async ({ page }) => {
    const next = random(4);
    const pick = (n: number): number => Math.floor(next() * n);
    const text = (): LabInput => Array.from({ length: 1 + pick(pick(8) === 0 ? 400 : 60) }, () => WORDS[pick(WORDS.length)]).join(' ');
    const call = async (): Promise<void> => {
      const inputs = Array.from({ length: 1 + pick(3) }, () => (pick(6) === 0 ? PICTURE : text()));
      // One signal for all calls, as a page has one: what listens to it and stays is seen.
      const options = { task: TASKS[pick(3)]!, returnMultivector: pick(5) === 0, signal: 'never' };
      must(await lab.tryEncode('soak', inputs, options));
    };
    const use = async (): Promise<Use> => ({ ...(await settled(session, page)), wasm: must(await lab.memory('soak')).wasm });

    await lab.load('soak', { model: TINY, device: 'webgpu', worker: false });
    // The longest first, so that memory which only grows has grown.
    for (const task of TASKS) must(await lab.tryEncode('soak', [WORDS.join(' ').repeat(60), PICTURE], { task, returnMultivector: true }));
    for (let i = 0; i < WARM_CALLS; i++) await call();
    const before = await use();
    for (let i = 0; i < CALLS; i++) await call();
    const after = await use();
    record(`${CALLS} calls`, before, after);
    expectNoGrowth(before, after);
    must(await lab.dispose('soak'));
    expect((await counted(page)).bytes).toBe(0);
  });

  for (const [where, worker] of [['in the page', false], ['in a worker', undefined]] as const) {
    test(`${CYCLES} embedders ${where}, one after the other, leave no bytes and no listeners behind`, async ({ page }) => {
      let wasm = 0;
      const cycle = async (): Promise<void> => {
        await lab.load('cycle', { model: TINY, device: 'webgpu', ...(worker === undefined ? {} : { worker }) });
        must(await lab.tryEncode('cycle', ['a river and a stone'], { task: TASKS[0] }));
        wasm = must(await lab.memory('cycle')).wasm;
        must(await lab.dispose('cycle'));
        // Those of a worker are gone with it; the page's are counted.
        expect((await counted(page)).bytes).toBe(0);
      };
      for (let i = 0; i < WARM_CYCLES; i++) await cycle();
      const before: Use = { ...(await settled(session, page)), wasm };
      for (let i = 0; i < CYCLES; i++) await cycle();
      const after: Use = { ...(await settled(session, page)), wasm };
      record(`${CYCLES} embedders ${where}`, before, after);
      expectNoGrowth(before, after, worker === false ? CYCLES : 0);
    });
  }
});
