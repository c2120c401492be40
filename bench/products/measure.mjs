// How fast WebAssembly multiplies on one thread; runs in Node and in a page.

const types = { F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q2_K: 10, Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, IQ4_NL: 20, IQ4_XS: 23 };
const rows = [16, 128, 512];
const tokens = [512, 1024];
const [n, k] = [2048, 2048];
const milliseconds = 400;

/**
 * - `bytes`: the module; with the feature `relaxed` its forms take turns with the plain ones
 * - `only`: a type, or `attention`
 * - returns: lines to print
 */
export async function measure(bytes, only) {
  const module = await WebAssembly.compile(bytes);
  // The library's source of random numbers, which no product asks for.
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = () => {
      throw new Error(`${from}.${name} was called`);
    };
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  const lines = [`[M, ${k}] x [${n}, ${k}], 1 thread: GFLOP/s for M = ${rows}, error at the last`];
  for (const [name, id] of Object.entries(types)) {
    if (only && name !== only) continue;
    /** @type {Record<string, { run: () => void, speeds: string[], error: string }>} */
    const forms = { simd128: { run: exports.run, speeds: [], error: '' } };
    for (const m of rows) {
      if (!exports.set_up(id, m)) throw new Error(`no matrix of ${name}`);
      if (exports.set_up_relaxed?.(id)) {
        if (name === 'F32') forms['the loops of relaxed.rs, simd128'] ??= { run: exports.run_unfused, speeds: [], error: '' };
        forms[name === 'F32' ? 'the loops of relaxed.rs, relaxed_madd' : 'relaxed_dot'] ??= { run: exports.run_relaxed, speeds: [], error: '' };
      }
      const all = Object.values(forms);
      const least = inTurns(all.map(({ run }) => run));
      all.forEach((form, at) => {
        form.speeds.push((2e-6 * m * n * k / least[at]).toFixed(1).padStart(8));
        form.run();
        form.error = exports.error().toExponential(1);
      });
    }
    for (const [form, { speeds, error }] of Object.entries(forms)) lines.push([name.padEnd(8), ...speeds, ' ', error, ' ', form].join(' '));
  }
  if (!only || only === 'attention') {
    const speeds = tokens.map((m) => {
      const operations = exports.set_up_attention(m);
      return (1e-6 * operations / inTurns([exports.run_attention])[0]).toFixed(1).padStart(8);
    });
    lines.push(`attention of ${tokens} tokens, 16 heads of 128, 2 of keys and values: ${speeds.join('')}`);
  }
  return lines;
}

/** The shortest time of each, in milliseconds. */
function inTurns(runs) {
  const least = runs.map((run) => {
    run();
    return Infinity;
  });
  for (const began = performance.now(); performance.now() - began < milliseconds * runs.length; ) {
    runs.forEach((run, at) => {
      const start = performance.now();
      run();
      least[at] = Math.min(least[at], performance.now() - start);
    });
  }
  return least;
}
