// A record of one suite, as tables in Markdown; and where records and tables are kept.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { MAX_RATIO } from './growth.mjs';
import { groupTables, merge } from './peers/report.mjs';
import { GOALS, standing } from './profile.mjs';
import { megabytes, milliseconds, table } from './units.mjs';

const root = join(import.meta.dirname, '..');
const README = join(root, 'bench/README.md');
/** The section of a record: graphics cards have tables of their own. */
const sectionOf = ({ suite, card }) => (card ? `${suite} on a graphics card` : suite);
/** The lines of the README between which the tables of a section stand. */
const marks = (suite) => [`<!-- ${suite}: written by \`make bench BENCH=--save\` -->`, `<!-- end of ${suite} -->`];

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
  return table(['device', 'load', ...inputs, 'n', 'memory'], rows);
}

/** The whole record as Markdown. */
export function markdown(record) {
  const body = { devices: deviceLines, peers: peerLines, growth: growthLines, profile: profileLines }[record.suite];
  return [...headLines(record), ...body(record)].join('\n');
}

function headLines({ date, commit, command, machine, load_average_before: before, load_average_after: after, versions }) {
  return [
    `${date}, commit ${commit}, \`${command}\``,
    '',
    `- machine: ${machine.cpu}, ${machine.cores} cores, ${megabytes(machine.memory_bytes)}; load average ${before.toFixed(2)} before, ${after.toFixed(2)} after`,
    `- versions: ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')}`,
  ];
}

function deviceLines({ cases, wasm }) {
  const devices = new Map();
  for (const { device, device_name } of cases) if (device_name) devices.set(device, device_name);
  const lines = [
    ...[...devices].map(([device, name]) => `- ${device}: ${name}`),
    `- wasm: ${wasm.raw_mb} MB, ${wasm.gzip_mb} MB gzip, ${wasm.brotli_mb} MB brotli (goal: at most 5 MB gzip)`,
    '',
    'Milliseconds: shortest / median of n calls (the first call, which compiles shaders).',
  ];
  for (const model of new Set(cases.map((each) => each.model))) {
    lines.push('', `**${model}**`, '', tableOf(cases.filter((each) => each.model === model)));
  }
  return lines;
}

function peerLines({ commit, adapter, groups, skipped }) {
  const others = groups.flatMap(({ title, cases }) => cases.filter((each) => each.commit !== commit).map((each) => `${title}, ${each.input} (${each.commit})`));
  return [
    ...(others.length > 0 ? [`- measured earlier that day, at another commit: ${others.join('; ')}`] : []),
    ...(adapter ? [`- WebGPU adapter: ${[adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ')}, ${adapter.features.includes('shader-f16') ? 'with' : 'without'} \`shader-f16\``] : []),
    ...(skipped.length > 0 ? [`- not measured, for want of time: ${skipped.join('; ')}`] : []),
    '',
    'Milliseconds: shortest / median of n calls, the engines in turns. In brackets: the cosine of the vector to the reference.',
    ...groups.flatMap(groupTables),
  ];
}

function growthLines({ devices }) {
  const lines = ['', `One layer of v4's widths. Milliseconds: shortest of n calls; × half: to the time of half as many tokens, at most ${MAX_RATIO} is wanted.`];
  for (const { device, device_name, device_bytes, measurements = [], error } of devices) {
    lines.push('', `**${device}**: ${error ? `failed: ${error}` : device_name}`);
    if (error) continue;
    const rows = measurements.map(({ tokens, min_ms, median_ms, n, ratio, peak_device_bytes: bytes }) => [
      String(tokens), milliseconds(min_ms), milliseconds(median_ms), String(n), ratio ? ratio.toFixed(2) : '', bytes ? megabytes(bytes) : '',
      bytes ? `${((bytes - device_bytes) / tokens / 1e3).toFixed(0)} kB` : '',
    ]);
    lines.push('', table(['tokens', 'shortest', 'median', 'n', '× half', 'device memory', 'above the weights, per token'], rows));
  }
  return lines;
}

function profileLines({ error, device_name, is_software, kernels, roofline, layers, calls }) {
  if (error) return ['', `failed: ${error}`];
  const giga = (perSecond) => (perSecond / 1e9).toFixed(1);
  const { f32_flops_per_second: f32, f16_flops_per_second: f16, bytes_per_second: bytes, empty_dispatch_seconds: empty } = roofline;
  const lines = [
    `- device: ${device_name}${is_software ? ', a processor that plays a graphics card: goals are for cards' : ''}`,
    `- kernels: \`${kernels}\``,
    `- measured peaks: ${giga(f32)} GFLOP/s in f32, ${f16 ? `${giga(f16)} GFLOP/s` : 'no `shader-f16`'} in f16, ${giga(bytes)} GB/s; an empty dispatch takes ${(empty * 1e6).toFixed(1)} µs`,
  ];
  for (const call of calls) {
    const { toRoofline, toKernels, productShare } = standing(call, roofline);
    const percent = (share) => (share === null || share === undefined ? '-' : `${(share * 100).toFixed(1)} %`);
    const rows = call.rows.map((row) => [
      row.kernel, row.shapes.map((shape) => shape.join('x')).join(' '), String(row.dispatches), (row.operations / 1e6).toFixed(1), (row.bytes / 1e6).toFixed(2),
      row.ms.toFixed(3), percent(row.share_of_f32), percent(row.share_of_f16), percent(row.share_of_bandwidth),
    ]);
    lines.push(
      '',
      `**${call.measurement.tokens} tokens, ${layers} layers**: ${milliseconds(call.measurement.min_ms)} ms; ${toRoofline.toFixed(1)} × its f32 roofline (goal at 512 tokens: ${GOALS.longCallToRoofline}); ${toKernels.toFixed(2)} × its kernels and empty dispatches (goal at 16: ${GOALS.shortCallToKernels}); largest product at ${percent(productShare)} of f32 (goal at 512: ${GOALS.productShareOfF32 * 100} %); ${call.dispatches_per_layer.toFixed(1)} dispatches per layer, those before the first and after the last counted`,
      '',
      table(['kernel', 'outputs', 'n', 'MFLOP', 'MB bound', 'ms each', 'of f32', 'of f16', 'of GB/s'], rows),
    );
  }
  return lines;
}

/** The document `readme` with `results` in place of those before. */
export function withResults(readme, suite, results) {
  const [beginMark, endMark] = marks(suite);
  const [begin, end] = [readme.indexOf(beginMark), readme.indexOf(endMark)];
  if (begin < 0 || end < begin) throw new Error(`${relative(root, README)} lacks the lines \`${beginMark}\` and \`${endMark}\``);
  return `${readme.slice(0, begin + beginMark.length)}\n${results}\n${readme.slice(end)}`;
}

/**
 * Keeps the record in bench/results and its tables in bench/README.md; returns the record's path. Peers that were
 * measured one by one on a day are put together.
 */
export function save(record, deviceSlug) {
  const name = `results/${record.date}-${deviceSlug}-${record.suite}.json`;
  const path = join(root, 'bench', name);
  const whole = record.suite === 'peers' && existsSync(path) ? merge(JSON.parse(readFileSync(path, 'utf8')), record) : record;
  const readme = withResults(readFileSync(README, 'utf8'), sectionOf(record), `${markdown(whole)}\n\nAll numbers: [${name}](${name}).`);
  mkdirSync(join(root, 'bench/results'), { recursive: true });
  writeFileSync(path, `${JSON.stringify(whole, null, 2)}\n`);
  writeFileSync(README, readme);
  return `bench/${name}`;
}
