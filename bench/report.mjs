// A record of one run, as a table in Markdown; and where records and tables are kept.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const README = join(root, 'bench/README.md');
const BEGIN = '<!-- results: written by `make bench BENCH=--save` -->';
const END = '<!-- end of results -->';

/** 0.51, 5.1, 51, 5100: three digits at most say something. */
function milliseconds(ms) {
  return ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0);
}

function megabytes(nBytes) {
  if (nBytes >= 1e9) return `${(nBytes / 1e9).toFixed(1)} GB`;
  return `${(nBytes / 1e6).toFixed(nBytes < 10e6 ? 1 : 0)} MB`;
}

/** Columns: every input that some case measured, in the order in which they come up. */
function inputsOf(cases) {
  const label = ({ input, tokens }) => (input === 'text' ? `${tokens} tokens` : input);
  const inputs = new Set();
  for (const { measurements = [] } of cases) for (const each of measurements) inputs.add(label(each));
  return { inputs: [...inputs], label };
}

function memoryOf({ peak_rss_bytes, device_bytes, memory }) {
  const parts = [];
  if (peak_rss_bytes) parts.push(`process ${megabytes(peak_rss_bytes)}`);
  if (memory) parts.push(`wasm ${megabytes(memory.wasm)}`);
  if (device_bytes || memory?.gpu) parts.push(`device ${megabytes(device_bytes || memory.gpu)}`);
  return parts.join(', ');
}

function tableOf(cases) {
  const { inputs, label } = inputsOf(cases);
  const rows = cases.map((each) => {
    if (each.error) return [each.device, `failed: ${each.error}`, ...inputs.map(() => ''), '', ''];
    const cells = inputs.map((input) => {
      const found = each.measurements.find((measurement) => label(measurement) === input);
      return found ? `${milliseconds(found.min_ms)} / ${milliseconds(found.median_ms)} (${milliseconds(found.first_ms)})` : '';
    });
    return [each.device, milliseconds(each.load_ms), ...cells, String(each.measurements[0]?.n ?? ''), memoryOf(each)];
  });
  const header = ['device', 'load', ...inputs, 'n', 'memory'];
  const widths = header.map((name, column) => Math.max(3, name.length, ...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** The whole record as Markdown. */
export function markdown(record) {
  const { machine, versions, wasm } = record;
  const devices = new Map();
  for (const { device, device_name } of record.cases) if (device_name) devices.set(device, device_name);
  const lines = [
    `${record.date}, commit ${record.commit}, \`${record.command}\``,
    '',
    `- machine: ${machine.cpu}, ${machine.cores} cores, ${megabytes(machine.memory_bytes)}; load average ${record.load_average_before.toFixed(2)} before, ${record.load_average_after.toFixed(2)} after`,
    ...[...devices].map(([device, name]) => `- ${device}: ${name}`),
    `- versions: ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')}`,
    `- wasm: ${wasm.raw_mb} MB, ${wasm.gzip_mb} MB gzip, ${wasm.brotli_mb} MB brotli (goal: at most 5 MB gzip)`,
    '',
    'Milliseconds: shortest / median of n calls (the first call, which compiles shaders).',
  ];
  for (const model of new Set(record.cases.map((each) => each.model))) {
    lines.push('', `**${model}**`, '', tableOf(record.cases.filter((each) => each.model === model)));
  }
  return lines.join('\n');
}

/** The document `readme` with `results` in place of those before. */
export function withResults(readme, results) {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${relative(root, README)} lacks the lines \`${BEGIN}\` and \`${END}\``);
  return `${readme.slice(0, begin + BEGIN.length)}\n${results}\n${readme.slice(end)}`;
}

/** Keeps the record in bench/results and its tables in bench/README.md; returns the record's path. */
export function save(record, deviceSlug) {
  const name = `results/${record.date}-${deviceSlug}.json`;
  const readme = withResults(readFileSync(README, 'utf8'), `${markdown(record)}\n\nAll numbers: [${name}](${name}).`);
  mkdirSync(join(root, 'bench/results'), { recursive: true });
  writeFileSync(join(root, 'bench', name), `${JSON.stringify(record, null, 2)}\n`);
  writeFileSync(README, readme);
  return `bench/${name}`;
}
