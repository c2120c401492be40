// What each way of storing the weights costs: how far vectors move, and how well they still rank.
//
//   node bench/quantisation/run.mjs [--from HF_DIR] [--save] [--only q4_0,q4_k_m]
//
// 1. Convert the model to f32 and to each of TYPES, and embed the texts of queries.jsonl and passages.jsonl, and a
//    picture, on the processor.
// 2. Compare with f32: the least and the mean cosine of all texts, and the picture's.
// 3. Rank the passages for each query: nDCG@10 by judgements.jsonl (2 for the passage that answers, 1 for others of its
//    subject), and nDCG@10 where the gains are f32's own order (10 for its first, 9 for its second, …), which means
//    something for random weights as well.
//
// Without --from: v4's layer sizes, two layers of each kind, random weights (bench/make_wide.py). A directory given
// with --from is a trained model, whose judged nDCG is then the figure to look at.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

/** Type of the text model and of the vision tower; the picture tells what the tower's costs. */
const TYPES = [
  ['f16', 'f16'], ['q8_0', 'q8_0'], ['q6_k', 'q8_0'], ['q5_k_m', 'q8_0'], ['q5_k', 'q8_0'], ['q4_k_m', 'q8_0'], ['q4_k', 'q8_0'], ['q4_0', 'q8_0'],
  ['f32', 'f16'], ['f32', 'q8_0'], ['f32', 'q6_k'], ['f32', 'q5_k'], ['f32', 'q4_k'], ['f32', 'q4_0'],
];
const CUT = 10;

const here = import.meta.dirname;
const root = join(here, '../..');
const cache = process.env.JINA_CACHE ?? join(homedir(), '.cache/jina-embeddings-web');
const { values: options } = parseArgs({ options: { from: { type: 'string' }, save: { type: 'boolean' }, only: { type: 'string' }, work: { type: 'string', default: join(cache, 'quantisation') } } });
const command = process.env.JINA_EMBED ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release/jina-embed');
const picture = join(root, 'tests/fixtures/tiny/golden/images/cat_crop_168x140.png');

const lines = (name) => readFileSync(join(here, name), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const [queries, passages, judgements] = ['queries.jsonl', 'passages.jsonl', 'judgements.jsonl'].map(lines);

mkdirSync(options.work, { recursive: true });
const from = options.from ?? makeWide();
const reference = measure('f32', 'f32');
const rows = [];
for (const [dtype, vision] of TYPES) {
  if (options.only && !options.only.split(',').includes(dtype)) continue;
  rows.push({ dtype, vision, ...compare(measure(dtype, vision), reference) });
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
}
const record = {
  suite: 'quantisation',
  date: new Date().toISOString().slice(0, 10),
  commit: run('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).trim(),
  version: run(command, ['--version']).trim(),
  cpu: cpus()[0].model,
  model: basename(from),
  n_texts: queries.length + passages.length,
  judged_ndcg_f32: judged(reference),
  rows,
};
console.log(table(record));
if (options.save) save();

function run(program, args, input) {
  const found = spawnSync(program, args, { encoding: 'utf8', input, maxBuffer: 2 ** 28 });
  if (found.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${found.error ?? found.stderr}`);
  return found.stdout;
}

function makeWide() {
  const folder = join(options.work, 'wide-2+2');
  if (!existsSync(join(folder, 'model.safetensors.index.json'))) run('python3', [join(root, 'bench/make_wide.py'), folder]);
  return folder;
}

/** Vectors of all inputs with weights of these types, and the size of the files. */
function measure(dtype, vision) {
  const folder = join(options.work, 'model');
  rmSync(folder, { recursive: true, force: true });
  run(command, ['convert', '--from', from, '--to', folder, '--dtype', dtype, '--vision-dtype', vision]);
  const files = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')).files;
  const bytesOf = (role) => files.filter((file) => file.role === role).reduce((sum, file) => sum + file.n_bytes, 0);
  const embed = (task, inputs) => {
    const text = inputs.map((each) => `${JSON.stringify(each)}\n`).join('');
    return run(command, ['encode', '--model', folder, '--device', 'cpu', '--task', task], text).trim().split('\n').map((line) => JSON.parse(line).embedding);
  };
  const found = { queries: embed('retrieval.query', queries), passages: embed('retrieval.passage', [...passages, { image: picture }]), text_bytes: bytesOf('text'), vision_bytes: bytesOf('vision') };
  rmSync(folder, { recursive: true });
  return { ...found, picture: found.passages.pop() };
}

function cosine(a, b) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** Places of the passages, the nearest first. */
function ranking({ passages }, query) {
  const scores = passages.map((passage) => cosine(query, passage));
  return scores.map((_, place) => place).sort((a, b) => scores[b] - scores[a]);
}

function ndcg(order, gains) {
  const sum = (list) => list.slice(0, CUT).reduce((total, gain, rank) => total + gain / Math.log2(rank + 2), 0);
  return sum(order.map((place) => gains[place] ?? 0)) / sum(Object.values(gains).sort((a, b) => b - a));
}

function mean(list) {
  return list.reduce((sum, value) => sum + value, 0) / list.length;
}

function judged(found) {
  return mean(found.queries.map((query, i) => ndcg(ranking(found, query), judgements[i])));
}

function compare(found, reference) {
  const all = (vectors) => [...vectors.queries, ...vectors.passages];
  const cosines = all(found).map((vector, i) => cosine(vector, all(reference)[i]));
  const kept = found.queries.map((query, i) => {
    const gains = Object.fromEntries(ranking(reference, reference.queries[i]).slice(0, CUT).map((place, rank) => [place, CUT - rank]));
    return ndcg(ranking(found, query), gains);
  });
  return {
    text_bytes: found.text_bytes, vision_bytes: found.vision_bytes,
    least_cosine: Math.min(...cosines), mean_cosine: mean(cosines), picture_cosine: cosine(found.picture, reference.picture),
    ndcg_by_f32: mean(kept), ndcg_judged: judged(found),
  };
}

function table({ date, commit, version, cpu, model, n_texts, judged_ndcg_f32: judgedByF32, rows }) {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
  const cells = rows.map((row) => [row.dtype, row.vision, megabytes(row.text_bytes), megabytes(row.vision_bytes), row.least_cosine.toFixed(5), row.mean_cosine.toFixed(5), row.picture_cosine.toFixed(5), row.ndcg_by_f32.toFixed(4), row.ndcg_judged.toFixed(4)]);
  return [
    `${date}, commit ${commit}, \`node bench/quantisation/run.mjs${options.from ? ' --from …' : ''} --save\`; ${version}, ${cpu}`,
    '',
    `Model \`${model}\`, ${n_texts} texts and a picture; nDCG@${CUT} of f32 by the judgements: ${judgedByF32.toFixed(4)}.`,
    '',
    `| text | vision | text files | vision file | least cosine | mean cosine | picture | nDCG@${CUT} by f32's order | nDCG@${CUT} judged |`,
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ...cells.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');
}

function save() {
  const name = `${record.date}-${record.model.replace(/[^a-z0-9]+/gi, '-')}-quantisation.json`;
  writeFileSync(join(root, 'bench/results', name), `${JSON.stringify(record, null, 1)}\n`);
  const path = join(here, 'README.md');
  const mark = options.from ? 'trained' : 'random';
  const [begin, end] = [`<!-- ${mark}: written by run.mjs --save -->`, `<!-- end of ${mark} -->`];
  const readme = readFileSync(path, 'utf8');
  const at = readme.indexOf(begin) + begin.length;
  writeFileSync(path, `${readme.slice(0, at)}\n${table(record)}\n\nAll numbers: [${name}](../results/${name}).\n${readme.slice(readme.indexOf(end))}`);
}
