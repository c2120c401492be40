// The tables of the side-by-side benchmark.

import { milliseconds, table } from '../units.mjs';

/**
 * Our shortest time to the shortest of others.
 *
 * - `against`: their names; without them every other engine
 * - returns: undefined where one of the two is missing
 */
export function ratioOf(entries, against) {
  const [ours, ...others] = entries;
  const times = others.filter(({ engine }) => !against || against.includes(engine)).map(({ min_ms }) => min_ms).filter((ms) => ms !== undefined);
  return ours.min_ms === undefined || times.length === 0 ? undefined : ours.min_ms / Math.min(...times);
}

/** One decimal more than the distance to 1 shows: 0.99999, 0.9997. */
function cosineText(cosine) {
  return cosine > 0.999995 ? '1.00000' : cosine.toFixed(5);
}

/** The group's heading, its engines, its table, and what became of its goal, as lines. */
export function groupTables({ title, goal, engines, cases }) {
  const names = engines.map(({ name }) => name).filter((name) => cases.some(({ entries }) => entries.some(({ engine }) => engine === name)));
  const footnotes = [];
  const note = (text) => {
    if (!footnotes.includes(text)) footnotes.push(text);
    return `(${footnotes.indexOf(text) + 1})`;
  };
  const rows = cases.map(({ input, n, entries }) => [
    input,
    String(n),
    ...names.map((name) => {
      const entry = entries.find(({ engine }) => engine === name);
      if (!entry) return '';
      if (entry.absent) return `- ${note(entry.absent)}`;
      if (entry.error) return `error ${note(entry.error)}`;
      return `${milliseconds(entry.min_ms)} / ${milliseconds(entry.median_ms)}${entry.cosine === undefined ? '' : ` [${cosineText(entry.cosine)}]`}`;
    }),
    ratioOf(entries)?.toFixed(2) ?? '',
  ]);
  const goals = cases.map(({ entries }) => ratioOf(entries, goal.against)).filter((ratio) => ratio !== undefined);
  const whom = goal.against ? goal.against.join(', ') : 'the best of the others';
  return [
    '',
    `**${title}**`,
    '',
    ...engines.filter(({ name }) => names.includes(name)).map(({ name, what, notes }) => `- ${name}: ${[what, ...notes].join('; ')}`),
    '',
    table(['input', 'n', ...names, 'ours ÷ best other'], rows),
    '',
    ...footnotes.map((text, i) => `(${i + 1}) ${text}  `),
    `Goal: at most ${goal.ratio} × ${whom}. Found: ${goals.length > 0 ? goals.map((ratio) => ratio.toFixed(2)).join(', ') : 'nothing to compare with'}.`,
  ];
}

/** Two records of a day as one: what `later` measured again replaces what `earlier` has, input by input. */
export function merge(earlier, later) {
  const groups = later.groups.map((group) => {
    const before = earlier.groups.find(({ name }) => name === group.name);
    if (!before) return group;
    const cases = [...before.cases.filter(({ input }) => !group.cases.some((each) => each.input === input)), ...group.cases];
    const engines = group.engines.map((engine) => (engine.notes.length > 0 ? engine : before.engines.find(({ name }) => name === engine.name) ?? engine));
    return { ...group, engines, cases: cases.sort(byLength) };
  });
  const kept = earlier.groups.filter(({ name }) => !groups.some((group) => group.name === name));
  const skipped = (earlier.skipped ?? []).filter((each) => !groups.some(({ name, cases }) => cases.some(({ input }) => each === `${name}, ${input}`)));
  return { ...later, adapter: later.adapter ?? earlier.adapter, versions: { ...earlier.versions, ...later.versions }, groups: [...kept, ...groups], skipped: [...new Set([...skipped, ...later.skipped])] };
}

/** Texts before pictures, short ones before long ones. */
function byLength({ input: a }, { input: b }) {
  const rank = (input) => [input.startsWith('picture') ? 1 : 0, Number(/\d+/.exec(input)[0])];
  const [[kindA, lengthA], [kindB, lengthB]] = [rank(a), rank(b)];
  return kindA - kindB || lengthA - lengthB;
}
