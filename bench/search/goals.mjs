// The goals of the search, in WebAssembly on one thread; prints one line of JSON.
//
//   node --expose-gc goals.mjs [N_ROWS]

import { clustered, plainTopK, recall, unordered } from './data.mjs';
import exactEngine, { jinaEngine } from './engines/jina.mjs';

const nRows = Number(process.argv[2] ?? 100_000);
const [dimensions, nQueries, k] = [512, 50, 10];
const rows = clustered(nRows, dimensions, 2);
const queries = clustered(nQueries, dimensions, 3);
const query = (i) => queries.subarray(i * dimensions, (i + 1) * dimensions);
const each = Array.from({ length: nQueries }, (_, i) => i);
const truth = each.map((i) => plainTopK(rows, dimensions, query(i), k));
const goals = [];

/** Milliseconds of the middle one of many calls, and what they returned. */
function median(calls, run) {
  for (const i of calls.slice(0, 5)) run(i);
  const times = [];
  const answers = calls.map((i) => {
    const began = performance.now();
    const answer = run(i);
    times.push(performance.now() - began);
    return answer;
  });
  times.sort((a, b) => a - b);
  return { ms: times[times.length >> 1], answers };
}

const once = (run) => {
  const began = performance.now();
  const answer = run();
  return { ms: performance.now() - began, answer };
};

for (const [what, limitMs, engine, setting] of [
  ['full vectors', 20, exactEngine, { query: { exact: true } }],
  ['int8, 256 numbers', 5, jinaEngine('', { kind: 'int8', dimensions: 256 }, []), { query: {} }],
  ['int8, all numbers', undefined, jinaEngine('', { kind: 'int8' }, []), { query: {} }],
  ['binary', 5, jinaEngine('', { kind: 'binary' }, []), { query: {} }],
  ['first 256 numbers', undefined, jinaEngine('', { kind: 'float32', dimensions: 256 }, []), { query: {} }],
]) {
  await engine.start();
  const index = engine.build(rows, nRows, dimensions);
  const { ms, answers } = median(each, (i) => engine.search(index, query(i), k, setting));
  goals.push({ what: `top-10 of ${nRows} x ${dimensions}, ${what}`, ms, limitMs, recall: recall(answers, truth), leastRecall: limitMs === 5 ? 0.99 : undefined });
  if (engine === exactEngine) {
    const batch = once(() => engine.build(rows.subarray(0, 10_000 * dimensions), Math.min(10_000, nRows), dimensions));
    goals.push({ what: `adding 10000 x ${dimensions}`, ms: batch.ms, limitMs: 1000 });
    batch.answer.free();
    const file = engine.save(index);
    index.free();
    const opened = once(() => engine.open(file));
    goals.push({ what: `opening ${nRows} x ${dimensions} (${Math.round(file.length / 1e6)} MB)`, ms: opened.ms, limitMs: 500 });
    opened.answer.free();
  } else {
    index.free();
  }
}

{
  const edge = await import(new URL('../../www/lib/wasm/jina_embeddings_edge.js', import.meta.url).href);
  const [nPages, nTokens, width] = [1000, 700, 128];
  const numbers = unordered((nPages + nTokens) * width, 4);
  const asked = Array.from({ length: 10 }, (_, i) => unordered(16 * width, 5 + i));
  for (const [multivectorStorage, exact, limitMs] of [['int8', false, 50], ['int8', true, 50], ['float32', false, 50], ['float32', true, undefined]]) {
    const index = new edge.SearchIndex({ multivectorDimensions: width, multivectorSpace: 'm', multivectorStorage });
    for (let page = 0; page < nPages; page++) {
      index.add({ ids: [String(page)], multivectors: [numbers.subarray(page * width, (page + nTokens) * width)], multivectorSpace: 'm' });
    }
    const { ms } = median(asked.map((_, i) => i), (i) => index.search({ multivector: asked[i], multivectorSpace: 'm', k, exact, fields: false }));
    const stage = exact ? `all ${nPages} pages` : `100 of ${nPages} pages by their mean`;
    goals.push({ what: `MaxSim of 16 tokens, ${stage}, ${nTokens} x ${width} ${multivectorStorage}`, ms, limitMs });
    index.free();
  }
}
console.log(JSON.stringify(goals));
process.exit(0);
