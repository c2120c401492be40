// The side-by-side benchmark: every group, every input, all engines of the group in turns.
//
// What is finished is kept at once, so that a run which was stopped goes on where it was (`resume`), and engines are
// opened only for cases that are still to do.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCase } from './interleave.mjs';

/** Sides in pixels by the number of tokens that the picture becomes: 28 x 28 pixels each. */
const PICTURES = { 256: [448, 448], 768: [672, 896] };
export const PICTURE_TOKENS = Object.keys(PICTURES).map(Number);

/**
 * - `groups`: of groupsOf; `files`: of makePeerFiles
 * - `tokens`, `pictures`: lengths of the inputs; `engines`: names to keep, or null for all
 * - `repeats`, `caseSeconds`: of runCase
 * - `deadline`: in ms since 1970; what has not begun by then stays out
 * - `commit`: noted with each case; `stamp`: what the results depend on besides: a change of it makes kept cases useless
 * - `folder`: where finished cases are kept; `resume`: whether those there count
 * - returns: the groups with `cases`, and `skipped`: cases for which no time was left
 */
export async function runSuite({ groups, files, tokens, pictures, engines: wanted, repeats, caseSeconds, deadline, commit, stamp, folder, resume, log }) {
  mkdirSync(folder, { recursive: true });
  const inputs = [
    ...tokens.map((n) => ({ label: `${n} tokens`, input: files.inputs[n], reference: files.references[n] })),
    ...pictures.map((n) => ({ label: `picture, ${n} tokens`, input: { picture: PICTURES[n] } })),
  ];
  const skipped = [];
  const measured = [];
  for (const { engines, ...group } of groups) {
    const opener = openEngines(engines.filter(({ name }) => !wanted || wanted.includes(name.split(',')[0])), log);
    const cases = [];
    try {
      for (const { label, input, reference } of inputs) {
        const key = createHash('sha256').update(JSON.stringify({ group: group.name, label, input, stamp, repeats, caseSeconds, wanted })).digest('hex');
        const kept = join(folder, `${key}.json`);
        if (resume && existsSync(kept)) {
          cases.push(JSON.parse(readFileSync(kept, 'utf8')));
          continue;
        }
        if (Date.now() >= deadline) {
          skipped.push(`${group.name}, ${label}`);
          continue;
        }
        log(`${group.name}, ${label}`);
        const result = await runCase({ engines: await opener.forInput(input), input, reference, repeats, caseSeconds, log: (line) => log(`    ${line}`) });
        opener.leaveOut(result.entries);
        const found = { input: label, at: new Date().toISOString(), commit, ...result };
        writeFileSync(`${kept}.part`, JSON.stringify(found));
        renameSync(`${kept}.part`, kept);
        cases.push(found);
      }
    } finally {
      await opener.close();
    }
    // Engines may not have been opened in this run; what they said is kept with the group.
    const told = join(folder, `notes-${group.name}.json`);
    if (opener.notes.size > 0) writeFileSync(told, JSON.stringify([...opener.notes]));
    const notes = new Map(opener.notes.size > 0 || !existsSync(told) ? opener.notes : JSON.parse(readFileSync(told, 'utf8')));
    if (cases.length > 0) {
      measured.push({ ...group, engines: engines.map(({ name, what }) => ({ name, what, notes: notes.get(name) ?? [] })), cases });
    }
  }
  return { groups: measured, skipped };
}

/** Opens engines when the first case needs them, and remembers those that are of no use. */
function openEngines(engines, log) {
  const open = new Map();
  const useless = new Map();
  const notes = new Map();
  return {
    notes,
    /** The engines as runCase takes them. */
    async forInput(input) {
      const ready = [];
      for (const engine of engines) {
        const { name, minCosine } = engine;
        let absent = engine.absent?.(input) ?? useless.get(name);
        if (!absent && !open.has(name)) {
          try {
            const opened = await engine.open();
            notes.set(name, opened.notes);
            absent = engine.refused?.(opened.notes);
            if (absent) {
              useless.set(name, absent);
              await opened.close();
            } else {
              open.set(name, opened);
            }
          } catch (error) {
            absent = `did not open: ${String(error.message).split('\n')[0]}`;
            useless.set(name, absent);
          }
          if (absent) log(`    ${name}: ${absent}`);
        }
        ready.push({ name, minCosine, absent, embed: (given) => open.get(name).embed(given) });
      }
      return ready;
    },
    /** Longer inputs would take minutes to fail again, or to be as far behind again. */
    leaveOut(entries) {
      const shortest = Math.min(...entries.map(({ min_ms }) => min_ms ?? Infinity));
      for (const { engine: name, error, min_ms } of entries) {
        const { maxRatio = Infinity } = engines.find((engine) => engine.name === name);
        if (error) useless.set(name, `failed on a shorter input: ${error}`);
        else if (min_ms > maxRatio * shortest) useless.set(name, `took ${(min_ms / shortest).toFixed(0)} times the shortest time of a shorter input`);
      }
    },
    async close() {
      for (const opened of open.values()) await opened.close().catch(() => {});
    },
  };
}

/** A file by its size and time of change. */
export function stampOf(path) {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${Math.round(mtimeMs)}`;
}
