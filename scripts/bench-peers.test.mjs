// Run by `node --test scripts/`: how engines take turns, and what becomes of their times. Nothing is measured here:
// the engines are made up, and so are their times.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withRatios } from '../bench/growth.mjs';
import { cosine, median, runCase } from '../bench/peers/interleave.mjs';
import { groupTables, merge, ratioOf } from '../bench/peers/report.mjs';
import { runSuite } from '../bench/peers/suite.mjs';

const NEEDED = [0.6, 0.8];

/** An engine that takes the times it is given, one by one, and the last one for ever; each call is written down. */
function engine(name, times, { calls = [], vector = NEEDED, ...more } = {}) {
  let i = 0;
  return {
    name, minCosine: 0.9999, ...more,
    async embed() {
      calls.push(name);
      const ms = times[Math.min(i, times.length - 1)];
      i += 1;
      if (ms instanceof Error) throw ms;
      return { ms, vector };
    },
  };
}
const input = { text: 'a', ids: [1] };
const run = (engines, more) => runCase({ engines, input, reference: NEEDED, repeats: 3, caseSeconds: 60, ...more });

test('engines take turns, and each round begins with the next one', async () => {
  const calls = [];
  await run([engine('a', [1], { calls }), engine('b', [1], { calls })], { repeats: 2 });
  assert.deepEqual(calls.join(''), 'ab' + 'ab' + 'ba');
});

test('the first call is told apart from the shortest and the median of the others', async () => {
  const { n, entries: [entry] } = await run([engine('a', [100, 3, 1, 8])]);
  assert.equal(n, 3);
  assert.deepEqual([entry.first_ms, entry.min_ms, entry.median_ms, entry.times_ms], [100, 1, 3, [3, 1, 8]]);
});

test('an engine with another vector is an error without times, and the others are measured', async () => {
  const calls = [];
  const { entries } = await run([engine('a', [1], { calls }), engine('b', [1], { calls, vector: [0.8, 0.6] })], { repeats: 1 });
  assert.equal(calls.join(''), 'aba');
  assert.match(entries[1].error, /^another vector: cosine 0\.960000 to the reference, needed 0\.9999$/);
  assert.equal(entries[1].min_ms, undefined);
  assert.equal(entries[0].min_ms, 1);
});

test('a vector of another length or with numbers that are not finite is an error', async () => {
  const { entries } = await run([engine('a', [1], { vector: [1] }), engine('b', [1], { vector: [NaN, 1] })]);
  assert.match(entries[0].error, /another vector: cosine NaN/);
  assert.match(entries[1].error, /not finite/);
});

test('an engine that fails in a later round is an error, and the others go on', async () => {
  const calls = [];
  const { entries } = await run([engine('a', [1, 1, new Error('lost')], { calls }), engine('b', [2], { calls })]);
  assert.equal(entries[0].error, 'lost');
  assert.equal(entries[0].min_ms, undefined);
  assert.equal(calls.filter((name) => name === 'b').length, 4);
});

test('no more rounds are run than fit into the time of a case, and one at least', async () => {
  assert.equal((await run([engine('a', [1000]), engine('b', [500])], { caseSeconds: 3 })).n, 2);
  assert.equal((await run([engine('a', [90_000])])).n, 1);
});

test('the cosine of vectors of length 1, and the median of an even number of times', () => {
  assert.ok(Math.abs(cosine([0.6, 0.8], [0.8, 0.6]) - 0.96) < 1e-12);
  assert.ok(Number.isNaN(cosine([1], [1, 0])));
  assert.deepEqual([median([4]), median([9, 1, 2]), median([9, 1, 2, 4])], [4, 2, 3]);
});

test('the ratio is to the best of the others, or of those that the goal names', () => {
  const entries = [{ engine: 'ours', min_ms: 3 }, { engine: 'a', min_ms: 2 }, { engine: 'b', min_ms: 6 }, { engine: 'c', error: 'x' }];
  assert.equal(ratioOf(entries), 1.5);
  assert.equal(ratioOf(entries, ['b']), 0.5);
  assert.equal(ratioOf(entries, ['c']), undefined);
  assert.equal(ratioOf([{ engine: 'ours', error: 'x' }, ...entries.slice(1)]), undefined);
});

test('lengths are compared with half their length, where that was measured', () => {
  const ratios = withRatios([{ tokens: 512, min_ms: 10 }, { tokens: 1024, min_ms: 22 }, { tokens: 4096, min_ms: 90 }]).map(({ ratio }) => ratio);
  assert.deepEqual(ratios, [undefined, 2.2, undefined]);
});

const group = (cases) => ({ name: 'g', title: 'A group', goal: { ratio: 0.5 }, engines: [{ name: 'ours', what: 'us', notes: [] }, { name: 'b', what: 'them', notes: ['fast'] }], cases });
const oneCase = (label, ours, theirs) => ({ input: label, n: 1, entries: [{ engine: 'ours', ...ours }, { engine: 'b', ...theirs }] });
const time = (ms) => ({ min_ms: ms, median_ms: ms, cosine: 1 });

test('a table shows times, cosines, what failed and why, and what became of the goal', () => {
  const lines = groupTables(group([oneCase('16 tokens', time(1), time(4)), oneCase('picture, 256 tokens', time(9), { absent: 'no eyes' }), oneCase('512 tokens', time(8), { error: 'another vector' })]));
  const rows = lines.join('\n').split('\n').filter((line) => line.startsWith('|')).map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim()));
  assert.deepEqual(rows[0], ['input', 'n', 'ours', 'b', 'ours ÷ best other']);
  assert.deepEqual(rows[2], ['16 tokens', '1', '1.0 / 1.0 [1.00000]', '4.0 / 4.0 [1.00000]', '0.25']);
  assert.deepEqual(rows[3].slice(3), ['- (1)', '']);
  assert.deepEqual(rows[4].slice(3), ['error (2)', '']);
  assert.ok(lines.includes('(1) no eyes  ') && lines.includes('(2) another vector  '));
  assert.equal(lines.at(-1), 'Goal: at most 0.5 × the best of the others. Found: 0.25.');
  assert.ok(lines.includes('- b: them; fast'));
});

test('what is measured again replaces what there was, input by input', () => {
  const earlier = { groups: [group([oneCase('512 tokens', time(5), time(5)), oneCase('16 tokens', time(1), time(1))]), { ...group([]), name: 'other' }], versions: { a: 1 }, skipped: ['g, 128 tokens', 'h, 16 tokens'] };
  const later = { groups: [group([oneCase('16 tokens', time(2), time(2)), oneCase('128 tokens', time(3), time(3))])], versions: { b: 2 }, skipped: [] };
  const whole = merge(earlier, later);
  assert.deepEqual(whole.groups.map(({ name }) => name), ['other', 'g']);
  assert.deepEqual(whole.groups[1].cases.map(({ input: label, entries }) => [label, entries[0].min_ms]), [['16 tokens', 2], ['128 tokens', 3], ['512 tokens', 5]]);
  assert.deepEqual([whole.versions, whole.skipped], [{ a: 1, b: 2 }, ['h, 16 tokens']]);
});

test('a run that was stopped goes on where it was, and a run that was not asked to begins anew', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  try {
    const calls = [];
    const opened = [];
    const open = (name) => async () => {
      opened.push(name);
      return { notes: [`${name} here`], embed: engine(name, [1], { calls }).embed, close: async () => {} };
    };
    const suite = (more) => runSuite({
      groups: [{ name: 'g', title: 'G', goal: { ratio: 1 }, engines: [{ name: 'ours', minCosine: 0.99, open: open('ours') }, { name: 'b', minCosine: 0.99, open: open('b'), refused: () => 'no GPU' }] }],
      files: { inputs: { 16: input, 128: input }, references: { 16: NEEDED, 128: NEEDED } },
      tokens: [16, 128], pictures: [], engines: null, repeats: 1, caseSeconds: 1, deadline: Infinity, stamp: 'one', folder, resume: true, log: () => {}, ...more,
    });
    const first = await suite({ tokens: [16] });
    assert.deepEqual([opened.join(), calls.length], ['ours,b', 2]);
    assert.equal(first.groups[0].cases[0].entries[1].absent, 'no GPU');
    const second = await suite({});
    assert.deepEqual([calls.length, second.groups[0].cases.length], [4, 2]);
    assert.deepEqual((await suite({})).groups[0].engines[0].notes, ['ours here']);
    assert.equal(calls.length, 4);
    await suite({ stamp: 'another' });
    assert.equal(calls.length, 8);
    assert.deepEqual((await suite({ deadline: 0, resume: false })).skipped, ['g, 16 tokens', 'g, 128 tokens']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('an engine that failed, or fell far behind, is not asked for longer inputs', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  try {
    const opening = (name, times, more) => ({ name, minCosine: 0.99, ...more, open: async () => ({ notes: [], embed: engine(name, times, more).embed, close: async () => {} }) });
    const { groups } = await runSuite({
      groups: [{ name: 'g', title: 'G', goal: { ratio: 1 }, engines: [opening('ours', [1]), opening('wrong', [1], { vector: [1, 0] }), opening('slow', [9], { maxRatio: 3 })] }],
      files: { inputs: { 16: input, 128: input }, references: { 16: NEEDED, 128: NEEDED } },
      tokens: [16, 128], pictures: [], engines: null, repeats: 1, caseSeconds: 1, deadline: Infinity, stamp: '', folder, resume: false, log: () => {},
    });
    const reasons = groups[0].cases[1].entries.map(({ absent }) => absent);
    assert.equal(reasons[0], undefined);
    assert.match(reasons[1], /^failed on a shorter input: another vector/);
    assert.equal(reasons[2], 'took 9 times the shortest time of a shorter input');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
