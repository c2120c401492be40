// Vector search against its goals, and side by side with other libraries of npm on the same vectors.
//
//   make bench-search                      goals and comparison, as tables
//   make bench-search BENCH=--save         and kept: JSON in bench/results/, tables in README.md beside this
//   make bench-search BENCH="--goals"      without the other libraries
//   make bench-search BENCH="--rows=2000"  fewer vectors in the comparison
//
// Every engine runs in a process of its own, on one thread, one after the other.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { clustered, plainTopK } from './data.mjs';

const here = import.meta.dirname;
const root = join(here, '../..');
const flags = new Set(process.argv.slice(2));
const rowsFlag = [...flags].find((flag) => flag.startsWith('--rows='));
const unknown = [...flags].filter((flag) => !['--save', '--goals', '--compare', rowsFlag].includes(flag));
if (unknown.length > 0) {
  console.error(`bench-search: unknown ${unknown.join(', ')}; there are --save, --goals, --compare, --rows=N`);
  process.exit(1);
}
const sizes = rowsFlag ? [Number(rowsFlag.slice('--rows='.length))] : [10_000, 100_000];
const ENGINES = ['plain', 'jina', 'jina-int8', 'jina-int8-256', 'jina-binary', 'jina-float-256', 'voy', 'edgevec', 'hnswlib', 'client-vector-search'];
const [DIMENSIONS, N_QUERIES] = [512, 50];
/** An engine that takes longer, building included, is said to. */
const LIMIT_S = 120;
const MEMORY = '--max-old-space-size=8192';

const load = loadavg()[0];
const report = {
  date: new Date().toISOString().slice(0, 10),
  device: { cpu: cpus()[0]?.model, cores: cpus().length, memoryGB: Math.round(totalmem() / 2 ** 30), system: `${process.platform} ${release()}`, loadBefore: Number(load.toFixed(1)) },
  versions: { node: process.version, v8: process.versions.v8, rustc: run('rustc', ['--version']), commit: run('git', ['rev-parse', '--short', 'HEAD']) },
};
const said = [];
say(`${report.date} · ${report.device.cpu}, ${report.device.cores} cores · ${report.versions.node} · ${report.versions.rustc} · load average ${report.device.loadBefore} before\n`);

if (!flags.has('--compare')) {
  report.goals = { wasm: JSON.parse(node(['goals.mjs'], Infinity).stdout), native: native() };
  for (const [where, goals] of Object.entries(report.goals)) {
    table([`goals, ${where === 'wasm' ? 'WebAssembly in Node' : `native, ${goals[0].kernels}`}`, 'ms', 'shortest', 'goal', 'recall@10', ''], goals.map(({ what, ms, leastMs, limitMs, recall, leastRecall }) => {
      const met = (limitMs == null || ms <= limitMs) && (leastRecall == null || recall >= leastRecall);
      return [what, ms.toFixed(2), leastMs?.toFixed(2) ?? '', limitMs == null ? '' : `<= ${limitMs}`, recall?.toFixed(3) ?? '', limitMs == null ? '' : met ? 'met' : 'MISSED'];
    }));
  }
}

if (!flags.has('--goals')) {
  if (!existsSync(join(here, 'node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: here, stdio: 'inherit' });
  }
  report.comparison = [];
  const folder = mkdtempSync(join(tmpdir(), 'bench-search-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const nRows of sizes) {
    const truth = join(folder, `truth-${nRows}.json`);
    writeFileSync(truth, JSON.stringify(exactAnswers(nRows)));
    const measured = ENGINES.map((engine) => hopeless(engine, nRows) ?? { ...measure(engine, nRows, truth), id: engine });
    report.comparison.push(...measured);
    table([`${nRows} x ${DIMENSIONS}, ${N_QUERIES} queries`, 'version', 'setting', 'ms', 'shortest', 'recall@10', 'build s', 'memory MB', 'file MB', 'open ms'], measured.flatMap(row));
  }
}

if (flags.has('--save')) {
  const name = `${report.date}-search-${(report.device.cpu ?? 'cpu').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')}.json`;
  writeFileSync(join(root, 'bench/results', name), `${JSON.stringify(report, null, 2)}\n`);
  const readme = join(here, 'README.md');
  const between = /(<!-- results: .* -->\n)[^]*(<!-- end of results -->)/;
  writeFileSync(readme, readFileSync(readme, 'utf8').replace(between, (_, start, end) => `${start}${said.join('\n')}\n${end}`));
  console.log(`saved as bench/results/${name} and in bench/search/README.md`);
}

function say(text) {
  said.push(text);
  console.log(text);
}

/** An engine that took too long for fewer rows, or would by what it took, is not waited for again. */
function hopeless(engine, nRows) {
  const before = report.comparison.filter(({ id }) => id === engine).at(-1);
  if (before === undefined) return undefined;
  const { engine: name, version, buildMs, failed } = before;
  const seconds = (buildMs / 1000) * (nRows / before.nRows);
  if (failed === undefined && seconds <= LIMIT_S) return undefined;
  const why = failed ?? `not tried: ${before.nRows} rows took ${(buildMs / 1000).toFixed(0)} s to build`;
  return { id: engine, engine: name, version, nRows, dimensions: DIMENSIONS, failed: why };
}

function measure(engine, nRows, truth) {
  const { status, stdout, stderr, error } = node(['measure.mjs', engine, nRows, DIMENSIONS, N_QUERIES, truth], LIMIT_S);
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1));
  const why = error?.code === 'ETIMEDOUT' ? `not done in ${LIMIT_S} s` : reasonOf(stderr);
  return { engine, nRows, dimensions: DIMENSIONS, failed: why };
}

/** What a process that ended early said. */
function reasonOf(stderr) {
  const line = stderr.split('\n').find((text) => /error|memory|unreachable/i.test(text)) ?? 'ended without a word';
  return line.trim().slice(0, 80);
}

function row({ engine, version = '', results, buildMs, memoryBytes, stored, failed }) {
  if (failed !== undefined) return [[engine, version, failed, '', '', '', '', '', '', '']];
  // Of several settings the first that finds nearly everything, else the best.
  const result = results.find(({ recall }) => recall >= 0.99) ?? results.at(-1);
  return [[engine, version, result.setting, result.medianMs.toFixed(2), result.leastMs.toFixed(2), result.recall.toFixed(3), (buildMs / 1000).toFixed(2), (memoryBytes / 1e6).toFixed(0), stored ? (stored.bytes / 1e6).toFixed(1) : '', stored ? stored.openMs.toFixed(0) : '']];
}

/** The same goals without a browser: `cargo bench` on the widest instructions that the processor has. */
function native() {
  const out = run('cargo', ['bench', '--quiet', '--locked', '--no-default-features', '--bench', 'search']);
  return JSON.parse(out.split('\n').at(-1));
}

function exactAnswers(nRows) {
  const rows = clustered(nRows, DIMENSIONS, 2);
  const queries = clustered(N_QUERIES, DIMENSIONS, 3);
  return Array.from({ length: N_QUERIES }, (_, i) => plainTopK(rows, DIMENSIONS, queries.subarray(i * DIMENSIONS, (i + 1) * DIMENSIONS), 10));
}

function node(args, limitS) {
  const timeout = limitS === Infinity ? undefined : limitS * 1000;
  const done = spawnSync(process.execPath, ['--expose-gc', MEMORY, ...args.map(String)], { cwd: here, encoding: 'utf8', timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 26 });
  if (limitS === Infinity && done.status !== 0) throw new Error(done.stderr);
  return done;
}

function run(command, args) {
  return execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

function table(head, rows) {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((cells) => cells[column].length)));
  const line = (cells) => `| ${cells.map((text, column) => (column === 0 ? text.padEnd(widths[column]) : text.padStart(widths[column]))).join(' | ')} |`;
  say([line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join('\n') + '\n');
}
