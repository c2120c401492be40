// One engine on one set of vectors, in a process of its own; prints what it found as one line of JSON.
//
//   node --expose-gc measure.mjs ENGINE N_ROWS DIMENSIONS N_QUERIES TRUTH_FILE

import { readFileSync } from 'node:fs';
import { clustered, recall } from './data.mjs';

const [engineName, nRowsText, dimensionsText, nQueriesText, truthFile] = process.argv.slice(2);
const [nRows, dimensions, nQueries] = [nRowsText, dimensionsText, nQueriesText].map(Number);
const K = 10;

const rows = clustered(nRows, dimensions, 2);
const queries = clustered(nQueries, dimensions, 3);
const truth = JSON.parse(readFileSync(truthFile, 'utf8'));
const query = (index) => queries.subarray(index * dimensions, (index + 1) * dimensions);

const { default: engine } = await import(`./engines/${engineName}.mjs`);
await engine.start(dimensions);
gc();
const before = residentBytes();

let began = performance.now();
let index = await engine.build(rows, nRows, dimensions);
const buildMs = performance.now() - began;
gc();
const memoryBytes = residentBytes() - before;

const results = [];
for (const setting of engine.settings(nRows)) {
  const found = [];
  const times = [];
  for (let warm = 0; warm < 5; warm++) await engine.search(index, query(warm % nQueries), K, setting);
  for (let i = 0; i < nQueries; i++) {
    began = performance.now();
    const hits = await engine.search(index, query(i), K, setting);
    times.push(performance.now() - began);
    found.push(hits);
  }
  times.sort((a, b) => a - b);
  const result = { setting: setting.name, medianMs: times[times.length >> 1], worstMs: times.at(-1), recall: recall(found, truth) };
  results.push(result);
  // The first setting that finds nearly everything is the one to compare.
  if (result.recall >= 0.99 && !engine.measureAll) break;
}

let stored;
if (engine.save !== undefined) {
  const bytes = await engine.save(index);
  engine.drop?.(index);
  index = undefined;
  began = performance.now();
  const opened = await engine.open(bytes, dimensions, nRows);
  stored = { bytes: bytes.length, openMs: performance.now() - began };
  const [setting] = engine.settings(nRows);
  const hits = await engine.search(opened, query(0), K, setting);
  if (hits.length !== K) throw new Error(`the reopened index found ${hits.length} of ${K}`);
}
console.log(JSON.stringify({ engine: engine.name, version: engine.version, nRows, dimensions, nQueries, buildMs, memoryBytes, results, stored }));
process.exit(0);

function residentBytes() {
  return process.memoryUsage().rss;
}
