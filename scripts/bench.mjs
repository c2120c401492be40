#!/usr/bin/env node
// Measures this package, alone and beside other engines, and prints tables.
//
//   node scripts/bench.mjs [--save] [options]
//
//   --suite     what is measured; may be repeated, default: all
//                 devices   loading, and one call, on every device of this machine
//                 peers     the same weights in onnxruntime-web, wllama, llama.cpp and stock Burn, in turns with ours
//                 growth    one layer with texts of 512 to 8,192 tokens
//                 profile   each kernel on Vulkan, beside what the adapter can do at most
//   --only      devices or groups whose names begin so: native, native-cpu, chromium-webgpu, chromium-wasm-1 …; may be repeated
//   --hardware  on a graphics card: Chromium chooses its WebGPU adapter too (default: SwiftShader, as in the tests), and
//               records and tables are the card's
//   --no-wide   devices: leave out the model of v4's layer sizes, which needs python3 and about 2 GB of memory
//   --repeats   timed calls per input after the first (default 5; fewer where a software adapter is too slow for them)
//   --tokens    lengths of the texts: peers and profile (default 16,128,512), growth (default 512,1024,2048,4096,8192)
//   --model     profile: another model than the two layers of v4's widths
//   --pictures  peers: tokens of the pictures (default 256,768; none: 0)
//   --engines   peers: which ones, by name: ours, onnxruntime-web, wllama, llama.cpp, "stock Burn" (default: all)
//   --case-seconds  peers: no more rounds of one input than fit into this (default 60), but one at least
//   --minutes   peers: begin no case after this time (default: none); 0 with --resume shows what is kept
//   --resume    peers: keep what an earlier run with the same engines and options has finished
//   --save      keep the records in bench/results, and their tables in bench/README.md
//
// Needs what `make bench` builds before: jina-embed (release) and pkg-config/dist. The peers are installed when they
// are first measured: npm packages into bench/node_modules, Python packages into the cache.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, homedir, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEVICES, measureDevices, nameOf, nativeReport } from '../bench/devices.mjs';
import { LENGTHS, measureGrowth } from '../bench/growth.mjs';
import { makeModels, makeOneLayer, makePeerFiles } from '../bench/models.mjs';
import { openChromium } from '../bench/peers/engines.mjs';
import { GROUPS, groupsOf } from '../bench/peers/groups.mjs';
import { installPeers } from '../bench/peers/install.mjs';
import { PICTURE_TOKENS, runSuite, stampOf } from '../bench/peers/suite.mjs';
import { measureProfile } from '../bench/profile.mjs';
import { markdown, save } from '../bench/report.mjs';

const root = join(import.meta.dirname, '..');
const SUITES = ['devices', 'peers', 'growth', 'profile'];
const PEER_TOKENS = [16, 128, 512];
const ENGINES = ['ours', 'onnxruntime-web', 'wllama', 'llama.cpp', 'stock Burn'];

const options = readOptions();
const cache = process.env.JINA_CACHE || join(homedir(), '.cache/jina-embeddings-web');
const command = join(process.env.CARGO_TARGET_DIR || join(cache, 'target'), 'release/jina-embed');
const wasmFile = join(root, 'pkg-config/dist/wasm/jina_embeddings_web_bg.wasm');
for (const [path, how] of [
  [command, 'cargo build --release --locked --bin jina-embed'],
  [wasmFile, 'make package'],
]) {
  if (!existsSync(path)) fail(`${path} is missing; build it with: ${how}`);
}
const log = (line) => console.error(line);
const folder = join(cache, 'bench-models');

const loadBefore = loadavg()[0];
if (loadBefore > cpus().length / 2) {
  log(`warning: the load average is ${loadBefore.toFixed(2)}: something else is running, and the times are not to be kept`);
}
const common = {
  date: new Date().toISOString().slice(0, 10),
  command: ['make bench', process.argv.slice(2).join(' ')].filter(Boolean).join(' BENCH=').replace(/BENCH=(.* .*)$/, "BENCH='$1'"),
  commit: commit(),
  machine: { cpu: cpus()[0].model, cores: cpus().length, memory_bytes: totalmem() },
  load_average_before: loadBefore,
  ...(options.hardware && { card: cardHere() }),
};
const versions = {
  'jina-embeddings-web': JSON.parse(readFileSync(join(root, 'pkg-config/package.json'), 'utf8')).version,
  rustc: output('rustc', ['--version']).split(' ')[1],
  burn: locked('burn'),
  wgpu: locked('wgpu'),
  node: process.version.slice(1),
};

const suites = { devices: runDevices, peers: runPeers, growth: runGrowth, profile: runProfile };
for (const suite of SUITES.filter((each) => options.suite.includes(each))) {
  const record = { suite, ...common, ...await suites[suite](), load_average_after: loadavg()[0] };
  console.log(`${markdown(record)}\n`);
  if (options.save) console.log(`kept in ${save(record, slugOf(record))}\n`);
  if (hasFailed(record)) process.exitCode = 1;
}

async function runDevices() {
  const devices = DEVICES.filter(isWanted);
  if (devices.length === 0) return { versions, wasm: wasmSize(), cases: [] };
  const models = makeModels({ command, folder, wide: !options['no-wide'] });
  const { version, cases } = await measureDevices({ command, models, folder, devices, repeats: options.repeats, hardware: options.hardware });
  return { versions: { ...versions, chromium: version }, wasm: wasmSize(), cases };
}

async function runPeers() {
  const { modules, python, versions: peers } = installPeers(cache);
  const wide = makeModels({ command, folder, wide: true }).find((model) => model.wide).dir;
  const tokens = options.tokens ?? PEER_TOKENS;
  const files = makePeerFiles({ folder, wide, python, lengths: tokens });
  const isInBrowser = GROUPS.some((name) => name.startsWith('chromium') && isWanted(name));
  const chromium = isInBrowser ? await openChromium({ folders: { modules, models: folder }, hardware: options.hardware }) : null;
  try {
    const groups = groupsOf({ chromium, files, modelFolder: folder, command, python, versions: peers, cores: cpus().length });
    const stamp = [stampOf(command), stampOf(wasmFile), stampOf(files.paths.text), peers, chromium?.version];
    const found = await runSuite({
      groups: groups.filter(({ name }) => isWanted(name)), files, tokens, pictures: options.pictures, engines: options.engines, repeats: options.repeats,
      caseSeconds: options['case-seconds'], deadline: Date.now() + options.minutes * 60_000, commit: common.commit, stamp, folder: join(cache, 'bench-peers'), resume: options.resume, log,
    });
    return { versions: { ...versions, ...(chromium && { chromium: chromium.version }), ...peers }, adapter: chromium?.adapter, ...found };
  } finally {
    await chromium?.close();
  }
}

function runGrowth() {
  const model = makeOneLayer({ command, folder });
  const devices = DEVICES.filter((device) => device.startsWith('native') && isWanted(device));
  return { versions, devices: measureGrowth({ command, model, devices, lengths: options.tokens ?? LENGTHS, repeats: options.repeats, log }) };
}

function runProfile() {
  // The text file alone has its task merged, as in the suite of peers.
  const model = options.model ?? join(makeModels({ command, folder, wide: true }).find((each) => each.wide).dir, 'text-00001-of-00001.gguf');
  return { versions, ...measureProfile({ command, model, lengths: options.tokens, repeats: options.repeats }) };
}

/** Whether something of ours failed: that a peer does is a result. */
function hasFailed({ error: failure, cases = [], devices = [], groups = [] }) {
  const ours = groups.flatMap((group) => group.cases.flatMap(({ entries }) => entries.filter(({ engine }) => engine === 'ours')));
  return failure !== undefined || [...cases, ...devices, ...ours].some(({ error }) => error);
}

function isWanted(name) {
  return options.only.length === 0 || options.only.some((prefix) => name.startsWith(prefix));
}

function readOptions() {
  let found;
  try {
    found = parseArgs({
      options: {
        save: { type: 'boolean', default: false },
        suite: { type: 'string', multiple: true, default: SUITES },
        only: { type: 'string', multiple: true, default: [] },
        hardware: { type: 'boolean', default: false },
        'no-wide': { type: 'boolean', default: false },
        repeats: { type: 'string', default: '5' },
        tokens: { type: 'string' },
        model: { type: 'string' },
        pictures: { type: 'string', default: PICTURE_TOKENS.join() },
        engines: { type: 'string' },
        'case-seconds': { type: 'string', default: '60' },
        minutes: { type: 'string', default: String(24 * 60) },
        resume: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(error.message);
  }
  const names = [...DEVICES, ...GROUPS];
  const unknown = found.only.find((prefix) => !names.some((name) => name.startsWith(prefix)));
  if (unknown !== undefined) fail(`--only needs the beginning of one of ${names.join(', ')}, found '${unknown}'`);
  const engines = found.engines?.split(',');
  return {
    ...found,
    suite: oneOf('suite', found.suite, SUITES),
    engines: engines ? oneOf('engines', engines, ENGINES) : null,
    repeats: count('repeats', found.repeats),
    'case-seconds': count('case-seconds', found['case-seconds']),
    minutes: count('minutes', found.minutes, 0),
    tokens: found.tokens?.split(',').map((each) => count('tokens', each)),
    pictures: found.pictures === '0' ? [] : oneOf('pictures', found.pictures.split(',').map((each) => count('pictures', each)), PICTURE_TOKENS),
  };
}

function count(option, text, least = 1) {
  const value = Number(text);
  return Number.isInteger(value) && value >= least ? value : fail(`--${option} needs a whole number from ${least} on, found '${text}'`);
}

function oneOf(option, values, allowed) {
  const unknown = values.find((value) => !allowed.includes(value));
  return unknown === undefined ? values : fail(`--${option} needs one of ${allowed.join(', ')}, found '${unknown}'`);
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

/** The graphics card that the system prefers. */
function cardHere() {
  const [{ dir }] = makeModels({ command, folder, wide: false });
  const { device } = nativeReport(command, ['--model', dir, '--device', 'gpu', '--no-picture', '--tokens', '16', '--repeats', '1']);
  return device.is_software ? fail(`--hardware needs a graphics card, found ${nameOf(device)}`) : nameOf(device);
}

/** A machine is called after its graphics card where that was measured, or else after its processor. */
function slugOf({ machine, card }) {
  const name = card ? card.replace(/ \(.*/, '') : machine.cpu.replace(/\(R\)|\(TM\)|CPU|@.*/g, ' ');
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
}

function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(2);
}
