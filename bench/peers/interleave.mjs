// One case: the same input to every engine, in turns.
//
// 1. Each engine embeds the input once. That call compiles shaders, and its vector is compared with the reference: an
//    engine that computes something else is an error in the table, not a time.
// 2. The others take turns, n times, each round beginning with the next engine: what disturbs the machine for a while
//    disturbs all of them.
//
// n is `repeats`, or fewer where one round is long: as many rounds as fit into `caseSeconds`, and at least one.

import { loadavg } from 'node:os';

/** Cosine of two vectors of length 1. */
export function cosine(a, b) {
  if (a.length !== b.length) return NaN;
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** Of times, at least one. */
export function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** To the microsecond: further digits are noise. */
const round = (ms) => Math.round(ms * 1e3) / 1e3;

/**
 * - `engines`: `{ name, minCosine, absent, embed }`; `absent` is why it does not take this input
 * - `reference`: the vector needed; without one, only that there is a vector
 * - returns: `n`, the load average before and after, and one entry per engine: `absent`, `error`, or times
 */
export async function runCase({ engines, input, reference, repeats, caseSeconds, log = () => {} }) {
  const loadBefore = loadavg()[0];
  const entries = [];
  for (const { name, minCosine, absent, embed } of engines) {
    const entry = { engine: name };
    entries.push({ entry, embed });
    if (absent) {
      entry.absent = absent;
      continue;
    }
    try {
      const { ms, vector } = await embed(input);
      entry.first_ms = round(ms);
      if (!vector.every(Number.isFinite)) throw new Error('the vector has numbers that are not finite');
      if (reference) {
        entry.cosine = cosine(vector, reference);
        if (!(entry.cosine >= minCosine)) throw new Error(`another vector: cosine ${entry.cosine.toFixed(6)} to the reference, needed ${minCosine}`);
      }
      log(`${name} ${(ms / 1e3).toFixed(1)} s`);
    } catch (error) {
      entry.error = String(error.message).split('\n')[0];
      log(`${name}: ${entry.error}`);
    }
  }
  const timed = entries.filter(({ entry }) => !entry.absent && !entry.error);
  let n = 0;
  // The first calls say nothing of a round: on a graphics card they are hundreds of times as long.
  for (let spentMs = 0, roundMs = 0; n === 0 || (n < repeats && spentMs + roundMs <= caseSeconds * 1e3); n += 1, spentMs += roundMs) {
    roundMs = 0;
    for (let turn = 0; turn < timed.length; turn += 1) {
      const { entry, embed } = timed[(n + turn) % timed.length];
      if (entry.error) continue;
      try {
        const { ms } = await embed(input);
        (entry.times_ms ??= []).push(round(ms));
        roundMs += ms;
      } catch (error) {
        entry.error = String(error.message).split('\n')[0];
      }
    }
  }
  for (const { entry } of timed) {
    if (entry.error) continue;
    entry.min_ms = Math.min(...entry.times_ms);
    entry.median_ms = round(median(entry.times_ms));
  }
  return { n, load_average: [loadBefore, loadavg()[0]], entries: entries.map(({ entry }) => entry) };
}
