// Run by `node --test scripts/`: how a record of `make bench` is shown. Nothing is measured here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { markdown, withResults } from '../bench/report.mjs';

const text = (tokens, [first_ms, min_ms, median_ms]) => ({ input: 'text', tokens, first_ms, min_ms, median_ms, n: 5 });
const record = {
  suite: 'devices',
  date: '2026-01-31',
  command: 'make bench',
  commit: 'abc1234',
  machine: { cpu: 'A processor', cores: 2, memory_bytes: 24e9 },
  load_average_before: 0.12,
  load_average_after: 1.9,
  versions: { rustc: '1.95.0' },
  wasm: { raw_mb: 12.6, gzip_mb: 3.6, brotli_mb: 2.6 },
  cases: [
    { device: 'native-cpu', device_name: 'A processor', model: 'tiny', load_ms: 12.34, measurements: [text(16, [120.8, 0.516, 5.55])], peak_rss_bytes: 39e6 },
    { device: 'native-gpu', model: 'tiny', error: 'error[NO_ADAPTER]: no graphics adapter' },
    { device: 'chromium-wasm', device_name: 'A processor, one thread', model: 'wide', load_ms: 1000, measurements: [text(128, [2, 1, 1])], memory: { gpu: 0, wasm: 1.1e9 } },
  ],
};

test('a record becomes one table per model, with a column for each input that it holds', () => {
  const rows = markdown(record).split('\n').filter((line) => line.startsWith('|')).map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim()));
  assert.deepEqual(rows[0], ['device', 'load', '16 tokens', 'n', 'memory']);
  assert.deepEqual(rows[2], ['native-cpu', '12', '0.52 / 5.5 (121)', '5', 'process 39 MB']);
  assert.deepEqual(rows[4], ['device', 'load', '128 tokens', 'n', 'memory']);
  assert.deepEqual(rows[6], ['chromium-wasm', '1000', '1.0 / 1.0 (2.0)', '5', 'wasm 1.1 GB']);
});

test('a case that failed stays in the table with its reason', () => {
  assert.match(markdown(record), /^\| native-gpu +\| failed: error\[NO_ADAPTER\]: no graphics adapter \|/m);
});

test('the load average and every device are stated above the numbers', () => {
  assert.match(markdown(record), /load average 0\.12 before, 1\.90 after/);
  assert.match(markdown(record), /^- chromium-wasm: A processor, one thread$/m);
});

for (const suite of ['devices', 'peers', 'growth', 'profile']) {
  test(`bench/README.md has the place for the results of ${suite}, and only that place changes`, () => {
    const readme = readFileSync(join(import.meta.dirname, '../bench/README.md'), 'utf8');
    const once = withResults(readme, suite, 'first');
    const twice = withResults(once, suite, 'second');
    assert.ok(once.includes('\nfirst\n') && twice.includes('\nsecond\n') && !twice.includes('first\n'));
    assert.equal(withResults(twice, suite, 'first'), once);
    assert.throws(() => withResults('# Benchmarks', suite, 'first'), /lacks the lines/);
  });
}

test('a profile shows each kernel beside the peaks, and how a call stands to the goals', () => {
  const row = { kernel: 'linear', shapes: [[16, 2048]], dispatches: 2, operations: 4e6, bytes: 1e6, ms: 8, share_of_f32: 0.5, share_of_f16: null, share_of_bandwidth: 0.125 };
  const profile = {
    ...record, suite: 'profile', device_name: 'A card', is_software: false, layers: 1,
    roofline: { f32_flops_per_second: 1e9, f16_flops_per_second: null, bytes_per_second: 1e9, empty_dispatch_seconds: 1e-3, round_trip_seconds: 2e-3 },
    calls: [{ measurement: { tokens: 16, min_ms: 24 }, dispatches: 4, dispatches_per_layer: 4, operations: 12e6, bytes: 3e6, kernels_ms: 16, bound_ms: 12, rows: [row, { ...row, kernel: 'norm', operations: 1 }] }],
  };
  const text = markdown(profile);
  assert.match(text, /1\.0 GFLOP\/s in f32, no `shader-f16` in f16, 1\.0 GB\/s; an empty dispatch takes 1000\.0 µs/);
  assert.match(text, /24 ms; 2\.0 × its f32 roofline .* 1\.20 × its kernels and empty dispatches .* largest product at 50\.0 % of f32/);
  assert.match(text, /^\| linear +\| 16x2048 +\| 2 +\| 4\.0 +\| 1\.00 +\| 8\.000 +\| 50\.0 % +\| - +\| 12\.5 % +\|$/m);
  assert.match(markdown({ ...record, suite: 'profile', error: 'no adapter' }), /failed: no adapter/);
});
