#!/usr/bin/env node
// Measures loading and embedding on every device of this machine: natively on the processor and on Vulkan, and in
// Chromium in WebAssembly and on WebGPU. Prints one table per model.
//
//   node scripts/bench.mjs [--save] [--hardware] [--no-wide] [--repeats N] [--only DEVICE]...
//
//   --save      keep the record in bench/results, and its tables in bench/README.md
//   --hardware  let Chromium choose its WebGPU adapter (default: SwiftShader, as in the tests)
//   --no-wide   leave out the model of v4's layer sizes, which needs python3 and about 2 GB of memory
//   --repeats   timed calls per input after the first (default 5; 3 where a software adapter meets the wide model)
//   --only      native-cpu, native-gpu, chromium-wasm or chromium-webgpu
//
// Needs what `make bench` builds before: jina-embed (release) and pkg-config/dist.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, homedir, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from '../bench/browser.mjs';
import { makeModels } from '../bench/models.mjs';
import { markdown, save } from '../bench/report.mjs';

const root = join(import.meta.dirname, '..');
const DEVICES = ['native-cpu', 'native-gpu', 'chromium-wasm', 'chromium-webgpu'];
const TOKENS = [16, 128, 512];
/** A software adapter needs seconds per call of the wide model: what it is asked for, by device. */
const SOFTWARE_TOKENS = { 'native-gpu': [16, 128], 'chromium-webgpu': [16] };
const SOFTWARE_REPEATS = 3;
const MAX_NATIVE_MS = 30 * 60_000;

const options = readOptions();
const repeats = Number(options.repeats);
if (!Number.isInteger(repeats) || repeats < 1) fail(`--repeats needs a number above 0, found '${options.repeats}'`);
const unknown = options.only.find((device) => !DEVICES.includes(device));
if (unknown) fail(`--only needs one of ${DEVICES.join(', ')}, found '${unknown}'`);

const cache = process.env.JINA_CACHE || join(homedir(), '.cache/jina-embeddings-web');
const command = join(process.env.CARGO_TARGET_DIR || join(cache, 'target'), 'release/jina-embed');
const wasmFile = join(root, 'pkg-config/dist/wasm/jina_embeddings_web_bg.wasm');
for (const [path, how] of [
  [command, 'cargo build --release --locked --bin jina-embed'],
  [wasmFile, 'make package'],
]) {
  if (!existsSync(path)) fail(`${path} is missing; build it with: ${how}`);
}

const loadBefore = loadavg()[0];
if (loadBefore > cpus().length / 2) {
  console.error(`warning: the load average is ${loadBefore.toFixed(2)}: something else is running, and the times are not to be kept`);
}
const modelFolder = join(cache, 'bench-models');
const models = makeModels({ command, folder: modelFolder, wide: !options['no-wide'] });
const browser = await openBrowser({ models: modelFolder, hardware: options.hardware });

const cases = [];
try {
  for (const device of DEVICES.filter((each) => options.only.includes(each))) {
    let isSoftware = false;
    for (const model of models) {
      const load_average = loadavg()[0];
      const hard = model.wide && isSoftware;
      const plan = { tokens: hard ? SOFTWARE_TOKENS[device] : TOKENS, picture: !hard, repeats: hard ? Math.min(repeats, SOFTWARE_REPEATS) : repeats };
      process.stderr.write(`${device}, ${model.name} … `);
      const began = Date.now();
      let measured;
      try {
        measured = device.startsWith('native') ? native(device, model, plan) : await inBrowser(device, model, plan);
        isSoftware = measured.is_software;
      } catch (error) {
        measured = { error: String(error.stderr || error.message).trim().split('\n').at(-1) };
        process.exitCode = 1;
      }
      process.stderr.write(`${measured.error ?? 'done'} (${((Date.now() - began) / 1000).toFixed(0)} s)\n`);
      cases.push({ device, model: model.name, load_average, ...measured });
    }
  }
} finally {
  await browser.close();
}

const record = {
  date: new Date().toISOString().slice(0, 10),
  command: ['make bench', process.argv.slice(2).join(' ')].filter(Boolean).join(' BENCH=').replace(/BENCH=(.* .*)$/, "BENCH='$1'"),
  commit: commit(),
  machine: { cpu: cpus()[0].model, cores: cpus().length, memory_bytes: totalmem() },
  load_average_before: loadBefore,
  load_average_after: loadavg()[0],
  versions: {
    'jina-embeddings-web': JSON.parse(readFileSync(join(root, 'pkg-config/package.json'), 'utf8')).version,
    rustc: output('rustc', ['--version']).split(' ')[1],
    burn: locked('burn'),
    wgpu: locked('wgpu'),
    chromium: browser.version,
    node: process.version.slice(1),
  },
  wasm: wasmSize(),
  cases,
};
console.log(markdown(record));
if (options.save) console.log(`\nkept in ${save(record, slugOf(record))}`);

function readOptions() {
  try {
    return parseArgs({
      options: {
        save: { type: 'boolean', default: false },
        hardware: { type: 'boolean', default: false },
        'no-wide': { type: 'boolean', default: false },
        repeats: { type: 'string', default: '5' },
        only: { type: 'string', multiple: true, default: DEVICES },
      },
    }).values;
  } catch (error) {
    return fail(error.message);
  }
}

function native(device, model, { tokens, picture, repeats: n }) {
  const args = ['bench', '--model', model.dir, '--device', device.slice('native-'.length), '--tokens', tokens.join(','), '--repeats', String(n), '--json'];
  if (!picture) args.push('--no-picture');
  // Shaders that a driver kept from an earlier run would make the first call look quick.
  const env = { ...process.env, MESA_SHADER_CACHE_DISABLE: 'true', __GL_SHADER_DISK_CACHE: '0' };
  const report = JSON.parse(execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: MAX_NATIVE_MS }));
  const { name, backend, driver, is_software, threads } = report.device;
  return {
    device_name: driver ? `${name} (${backend}, ${driver})` : `${cpus()[0].model} (${name}), ${threads} threads`,
    // On the processor nothing plays an adapter: the wide model runs as it is.
    is_software: device === 'native-gpu' && is_software,
    open_ms: report.open_ms,
    load_ms: report.load_ms,
    measurements: report.measurements,
    device_bytes: report.model.device_bytes,
    peak_rss_bytes: report.peak_rss_bytes,
  };
}

async function inBrowser(device, model, plan) {
  const kind = device.slice('chromium-'.length);
  const { adapter, load_ms, measurements, memory } = await browser.measure({ model: `/models/${model.name}`, device: kind, ...plan });
  const { name, vendor, architecture, description, isFallbackAdapter } = adapter;
  // An adapter that has no name of its own is named after its vendor and architecture.
  const told = [name, vendor, architecture, description].filter((part, i, all) => part && !all.slice(0, i).some((before) => before.includes(part))).join(', ');
  return {
    device_name: kind === 'wasm' ? `${cpus()[0].model}, one thread` : told,
    is_software: kind === 'webgpu' && (isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(told)),
    load_ms,
    measurements,
    memory,
  };
}

function wasmSize() {
  const line = output(process.execPath, [join(root, 'scripts/wasm-size.mjs'), wasmFile]);
  const [, raw_mb, gzip_mb, brotli_mb] = /([\d.]+) MB raw, ([\d.]+) MB gzip, ([\d.]+) MB brotli/.exec(line).map(Number);
  return { raw_mb, gzip_mb, brotli_mb };
}

/** The version that Cargo.lock holds. */
function locked(name) {
  return new RegExp(`^name = "${name}"\nversion = "([^"]+)"`, 'm').exec(readFileSync(join(root, 'Cargo.lock'), 'utf8'))?.[1];
}

function commit() {
  const changed = output('git', ['status', '--porcelain', '--', 'src', 'www/lib', 'Cargo.toml', 'Cargo.lock']);
  return output('git', ['rev-parse', '--short', 'HEAD']) + (changed ? ' with changes' : '');
}

function output(program, args) {
  return execFileSync(program, args, { cwd: root, encoding: 'utf8' }).trim();
}

/** A machine is called after its graphics card, or else after its processor. */
function slugOf({ machine, cases: measured }) {
  const card = measured.find(({ device, device_name, is_software }) => device === 'native-gpu' && device_name && !is_software);
  const name = card ? card.device_name.replace(/ \(.*/, '') : machine.cpu.replace(/\(R\)|\(TM\)|CPU|@.*/g, ' ');
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(2);
}
