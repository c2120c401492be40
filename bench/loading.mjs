#!/usr/bin/env node
// How a model comes into a page: what the first download costs beside the network and the disk, what a start
// from what is kept costs beside a plain read of it, and how much memory the way takes.
//
//   node bench/loading.mjs MODEL_DIR [--device webgpu|wasm|none] [--hardware] [--mbit N] [--turns N] [--out FILE]
//   node bench/loading.mjs MODEL_DIR --disk 2,16
//
//   MODEL_DIR  of `jina-embed convert`
//   --device   what the bytes are handed to; none: nobody, so that loading alone is measured (default webgpu, SwiftShader)
//   --hardware let Chromium choose its WebGPU adapter (default: SwiftShader)
//   --mbit     megabits per second of the server (default: as fast as loopback is)
//   --turns    reads of what is kept, and starts from it, in turns (default 5; more where the machine is not quiet)
//   --out      writes the record, JSON
//   --disk     measures only the disk, with files of so many MiB
//
// Needs pkg-config/dist. Chromium keeps its profile in a folder on the disk, so that the origin private file system is
// the real one. The server is another origin, as a host of weights is. Before a cold start the kept files are put out
// of the system's page cache.
//
// Every measurement is made in a browser of its own, which has some seconds to settle first: while it starts, it keeps
// both cores of a small machine busy. Reads and starts are measured in turns, several times, and told by their medians.
// Times are of a browser that nobody inspects: an inspector of the network copies every byte of every response, which
// takes more than the network. What is held in memory only an inspector tells: that is asked in loads of their own.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from '../scripts/serve.mjs';
import { HARDWARE_FLAGS } from './browser.mjs';

const root = resolve(import.meta.dirname, '..');
const MiB = 1 << 20;
/** Asking itself leaves garbage in the heap that is asked for. */
const POLL_MS = 150;
/** In which a browser that was just started comes to rest. */
const SETTLE_MS = 4_000;
/** After so long an inspected thread has gone; a browser that starts on a busy machine takes many seconds. */
const ANSWER_MS = 30_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: 'string', default: 'webgpu' }, hardware: { type: 'boolean' }, mbit: { type: 'string' }, turns: { type: 'string', default: '5' }, out: { type: 'string' }, disk: { type: 'string' } },
});
const [directory] = positionals;
if (directory === undefined) throw new Error('which model? node bench/loading.mjs MODEL_DIR');
const nTurns = Number(options.turns);
if (!(nTurns >= 1)) throw new Error(`--turns: needed a number from 1 on, found ${options.turns}`);
const { files, config } = JSON.parse(readFileSync(join(directory, 'model.json'), 'utf8'));
const nBytes = files.reduce((sum, file) => sum + file.n_bytes, 0);
const bytesPerMs = options.mbit === undefined ? Infinity : Number(options.mbit) * 1e6 / 8 / 1000;

const weights = await serveWeights();
const site = await serve({ mounts: [{ path: '/', dir: join(root, 'bench/page') }, { path: '/jina-embeddings-web', dir: join(root, 'pkg-config/dist') }], port: 0 });
const profile = newProfile();
const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const args = ['--no-sandbox', ...(options.hardware ? HARDWARE_FLAGS : ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'])];
const log = (line) => console.error(line);
try {
  const record = await (options.disk === undefined ? measure() : measureDisk());
  const json = JSON.stringify(record, null, 2);
  console.log(json);
  if (options.out !== undefined) writeFileSync(options.out, `${json}\n`);
} finally {
  await site.close();
  await weights.close();
  rmSync(profile, { recursive: true, force: true });
}

/** What files of other sizes cost. Memory that was just freed is written faster, so some seconds pass in between. */
async function measureDisk() {
  const disk_ms_by_mib = {};
  for (const mib of options.disk.split(',').map(Number)) {
    await new Promise((done) => setTimeout(done, 8000));
    disk_ms_by_mib[mib] = Math.round(await inPage('disk', nBytes, mib * MiB));
    log(`disk alone, files of ${mib} MiB: ${disk_ms_by_mib[mib]} ms`);
  }
  return { n_bytes: nBytes, disk_ms_by_mib };
}

async function measure() {
  const { device } = options;
  log(`${(nBytes / 1e9).toFixed(2)} GB in ${files.length} files, device ${device}`);
  const busy_s = {};
  const busyDuring = async (what, run) => {
    const before = busySeconds();
    const value = await run();
    busy_s[what] = Math.round((busySeconds() - before) * 10) / 10;
    return value;
  };
  const network_ms = await busyDuring('network', () => inPage('network', weights.url));
  log(`network alone ${network_ms.toFixed(0)} ms, ${busy_s.network} s of the processor`);
  const disk_ms = await busyDuring('disk', () => inPage('disk', nBytes, 16 * MiB));
  log(`disk alone ${disk_ms.toFixed(0)} ms, ${busy_s.disk} s of the processor`);
  const hash_ms = {};
  for (const kib of [512, 2048]) hash_ms[`by_${kib}_kib`] = await inPage('hash', nBytes, kib << 10);
  log(`SHA-256 alone ${hash_ms.by_512_kib.toFixed(0)} ms by 512 KiB, ${hash_ms.by_2048_kib.toFixed(0)} ms by 2 MiB`);
  const load = () => (device === 'none' ? inPage('load', weights.url) : loadByPackage(device));
  const first = await busyDuring('first', load);
  log(`first load ${first.ms.toFixed(0)} ms, ${busy_s.first} s of the processor`);
  const requestsBefore = weights.nRequests();
  const cold = await inTurns('cold', load, () => putOutOfPageCache(profile));
  const warm = await inTurns('warm', load, () => undefined);
  const requests_of_later_loads = weights.nRequests() - requestsBefore;
  if (device !== 'none') {
    warm.held = await heldIn(profile, device);
    const empty = newProfile();
    first.held = await heldIn(empty, device);
    rmSync(empty, { recursive: true, force: true });
    log(`held at most ${first.held.peak_above_before_mib} MiB in a first load, ${warm.held.peak_above_before_mib} MiB from what is kept`);
  }
  const ratio = (a, b) => Math.round((a / b) * 100) / 100;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: { cpu: cpus()[0].model, cores: cpus().length, load_average: loadavg()[0] },
    chromium: execFileSync(executablePath, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] }).toString().replace(/[^\d.]*([\d.]*)[^]*/, '$1'),
    model: { n_bytes: nBytes, n_files: files.length, hidden_size: config?.hidden_size, layers: config?.num_hidden_layers, has_pieces: files.every(({ pieces }) => pieces !== undefined) },
    device,
    ...(options.hardware && { hardware: true }),
    server_mbit: options.mbit ?? 'loopback',
    network_ms, disk_ms, hash_ms, first, busy_s,
    first_to_slower_of_network_and_disk: ratio(first.ms, Math.max(network_ms, disk_ms)),
    requests_of_later_loads,
    cold, cold_to_plain_read: ratio(median(cold.start_ms), median(cold.read_ms)),
    warm, warm_to_plain_read: ratio(median(warm.start_ms), median(warm.read_ms)),
  };
}

/** Plain reads of what is kept and starts from it, by turns; `prepare`: before each. */
async function inTurns(what, load, prepare) {
  const times = { read_ms: [], start_ms: [] };
  for (let turn = 0; turn < nTurns; turn++) {
    prepare();
    times.read_ms.push(Math.round((await inPage('read')).ms));
    prepare();
    const { ms, uncached } = await load();
    if (uncached.length > 0) throw new Error(`a start without its store: ${uncached}`);
    times.start_ms.push(Math.round(ms));
  }
  log(`from what is kept, ${what}: ${times.start_ms.join(', ')} ms (plain read ${times.read_ms.join(', ')} ms)`);
  return times;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** What all cores have computed since the machine started, in seconds: of the system, so nothing else should run. */
function busySeconds() {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;
}

function newProfile() {
  return mkdtempSync(join(process.env.JINA_BENCH_PROFILE ?? tmpdir(), 'jina-loading-'));
}

/** The page with something to do, whose answer `weights.answer()` is. */
function pageThat(...given) {
  return `${site.url}loading.html#${encodeURIComponent(JSON.stringify([`${weights.url}answer`, SETTLE_MS, ...given]))}`;
}

function startBrowser(folder, stdio, ...more) {
  const browser = spawn(executablePath, ['--headless=new', '--no-first-run', ...args, `--user-data-dir=${folder}`, ...more], { stdio });
  return { browser, ended: new Promise((done) => browser.once('exit', done)) };
}

/** Runs `use` and waits for the page's answer, as long as the browser lives. */
async function answerOf({ browser, ended }, what, use = () => undefined) {
  const died = ended.then((code) => ({ error: `the browser ended (${code})` }));
  const [answer] = await Promise.all([Promise.race([weights.answer(), died]), use()]);
  if (answer.error !== undefined) throw new Error(`${what}: ${answer.error}`);
  browser.kill();
  await ended;
  return answer.value;
}

/** Runs one of the page's measurements in a browser that is started for it. */
function inPage(...given) {
  return answerOf(startBrowser(profile, 'ignore', pageThat(...given)), given[0]);
}

/** From the first file's beginning to the last one's end. */
async function loadByPackage(device) {
  const { times, total, memory, uncached } = await inPage('loadModel', weights.url, device);
  return { ms: times.compile - times.initiate, total_ms: total, uncached, memory };
}

/** What is held between a load's first file and its last above what was held before. */
async function heldIn(folder, device) {
  const started = startBrowser(folder, ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], '--remote-debugging-pipe', '--enable-precise-memory-info', 'about:blank');
  try {
    const watch = await watchMemory(inspector(started.browser), pageThat('loadModel', weights.url, device));
    let held;
    const { times } = await answerOf(started, 'loadModel', watch.start).finally(() => (held = watch.stop()));
    return summary(await held, times.initiate, times.compile);
  } finally {
    started.browser.kill();
    await started.ended;
  }
}

/** The browser's inspector: of its own, since Playwright's has the network inspected, which keeps bodies in the page's heap. */
function inspector(browser) {
  const [, , , to, from] = browser.stdio;
  const replies = new Map();
  const inspected = { onEvent: () => undefined };
  let nextId = 0;
  let rest = '';
  from.setEncoding('utf8').on('data', (text) => {
    const messages = (rest + text).split('\0');
    rest = messages.pop();
    for (const { id, result, method, params } of messages.map((each) => JSON.parse(each))) {
      if (id === undefined) inspected.onEvent(method, params);
      else replies.get(id)?.(result);
      replies.delete(id);
    }
  });
  to.on('error', () => undefined);
  /** Answers `undefined` where the one that is asked has gone. */
  inspected.ask = (sessionId, method, params = {}) => new Promise((answer) => {
    const id = ++nextId;
    replies.set(id, answer);
    to.write(`${JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) })}\0`);
    setTimeout(answer, ANSWER_MS);
  });
  return inspected;
}

/**
 * JS heap, buffers and WebAssembly memory of the page and its worker, as the browser's inspector counts them, many times
 * a second.
 */
async function watchMemory(inspected, url) {
  const { ask } = inspected;
  const children = new Map();
  const { targetId } = await ask(undefined, 'Target.createTarget', { url: 'about:blank' });
  const { sessionId: page } = await ask(undefined, 'Target.attachToTarget', { targetId, flatten: true });
  inspected.onEvent = (method, { sessionId }) => {
    if (method === 'Target.attachedToTarget') children.set(sessionId, { memories: undefined });
    if (method === 'Target.detachedFromTarget') children.delete(sessionId);
  };
  await ask(page, 'Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: true });
  const heap = (usage) => (usage === undefined ? 0 : usage.usedSize + (usage.backingStorageSize ?? 0) + (usage.embedderHeapUsedSize ?? 0));
  /** The memories of WebAssembly are no part of the heap's usage: they are looked for until there are some. */
  const wasmOf = async (sessionId) => {
    const child = children.get(sessionId);
    if (child === undefined) return 0;
    if (child.memories === undefined) {
      const { result } = (await ask(sessionId, 'Runtime.evaluate', { expression: 'WebAssembly.Memory.prototype' })) ?? {};
      const { objects } = result === undefined ? {} : ((await ask(sessionId, 'Runtime.queryObjects', { prototypeObjectId: result.objectId })) ?? {});
      if (objects !== undefined && Number(/\d+/.exec(objects.description ?? '')?.[0] ?? 0) > 0) child.memories = objects.objectId;
    }
    if (child.memories === undefined) return 0;
    const sum = 'function () { return this.reduce((sum, memory) => sum + memory.buffer.byteLength, 0); }';
    return (await ask(sessionId, 'Runtime.callFunctionOn', { objectId: child.memories, functionDeclaration: sum, returnByValue: true }))?.result?.value ?? 0;
  };
  const ofWorker = async (sessionId) => {
    const [usage, wasm] = await Promise.all([ask(sessionId, 'Runtime.getHeapUsage'), wasmOf(sessionId)]);
    return { heap: heap(usage), wasm };
  };
  const samples = [];
  let running = true;
  const now = () => performance.timeOrigin + performance.now();
  const loop = async () => {
    while (running) {
      const [usage, ...workers] = await Promise.all([ask(page, 'Runtime.getHeapUsage'), ...[...children.keys()].map(ofWorker)]);
      const wasm = workers.reduce((sum, each) => sum + each.wasm, 0);
      samples.push({ at_ms: now(), wasm, bytes: workers.reduce((sum, each) => sum + each.heap, heap(usage)) + wasm });
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  };
  let looping;
  return {
    start: async () => {
      await ask(page, 'Page.navigate', { url });
      looping = loop();
    },
    stop: async () => {
      running = false;
      await looping;
      return samples;
    },
  };
}

/** What was held while the files came, above what was held just before the first: heap and WebAssembly memory together. */
function summary(samples, from_ms, to_ms) {
  const mib = (bytes) => Math.round(bytes / MiB * 10) / 10;
  const before = samples.findLast(({ at_ms, wasm }) => at_ms <= from_ms && wasm > 0) ?? samples[0];
  const meanwhile = samples.filter(({ at_ms }) => at_ms > from_ms && at_ms <= to_ms);
  const peak = meanwhile.reduce((most, each) => (each.bytes > most.bytes ? each : most), before);
  return {
    n_samples: meanwhile.length,
    before_mib: mib(before.bytes),
    before_wasm_mib: mib(before.wasm),
    peak_above_before_mib: mib(peak.bytes - before.bytes),
    of_it_wasm_mib: mib(peak.wasm - before.wasm),
    curve_ms_mib: meanwhile.filter((_, i) => i % Math.ceil(meanwhile.length / 30) === 0).map(({ at_ms, bytes }) => [Math.round(at_ms - from_ms), mib(bytes - before.bytes)]),
  };
}

/** By posix_fadvise, which dd gives for a file that it reads nothing of. */
function putOutOfPageCache(folder) {
  execFileSync('sync');
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && statSync(path).size >= MiB) execFileSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
  }
}

/**
 * A host of weights: ranges, ETags, another origin, and a rate. It takes the pages' answers, too. It shares the processor
 * with the browser, so it reads into the same buffers again and again: new ones cost more than the network does.
 */
function serveWeights() {
  const rooms = [];
  let nRequests = 0;
  let answered = () => undefined;
  let free = 0;
  const server = createServer(async (request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (request.method === 'POST') {
      let text = '';
      for await (const part of request) text += part;
      response.end();
      return void answered(JSON.parse(text));
    }
    const path = join(directory, decodeURIComponent(request.url.slice(1)).replaceAll('..', ''));
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    response.setHeader('Access-Control-Expose-Headers', 'Content-Range, ETag');
    response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
    if (size === undefined) return void response.writeHead(404).end();
    if (path.endsWith('.gguf')) nRequests += 1;
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const [start, end] = first === undefined ? [0, size - 1] : [Number(first), Math.min(Number(last), size - 1)];
    response.writeHead(first === undefined ? 200 : 206, { 'Content-Length': end - start + 1, ETag: `"${size}"`, ...(first !== undefined && { 'Content-Range': `bytes ${start}-${end}/${size}` }) });
    if (request.method === 'HEAD') return void response.end();
    const room = rooms.pop() ?? Buffer.allocUnsafeSlow(MiB);
    const file = await open(path);
    for (let at = start; at <= end && !response.destroyed; ) {
      const { bytesRead } = await file.read(room, 0, Math.min(MiB, end + 1 - at), at);
      const now = performance.now();
      free = Math.max(now, free) + bytesRead / bytesPerMs;
      if (free > now + 1) await new Promise((done) => setTimeout(done, free - now));
      await new Promise((written) => response.write(room.subarray(0, bytesRead), written));
      at += bytesRead;
    }
    rooms.push(room);
    await file.close();
    response.end();
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done({
    url: `http://127.0.0.1:${server.address().port}/`,
    nRequests: () => nRequests,
    answer: () => new Promise((resolve) => (answered = resolve)),
    close: () => (server.closeAllConnections(), new Promise((closed) => server.close(closed))),
  })));
}
