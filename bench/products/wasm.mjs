// Prints how fast WebAssembly multiplies on one thread, by type of matrix and rows.
//
//   node bench/products/wasm.mjs PATH/products.wasm [TYPE]

import { readFile } from 'node:fs/promises';

const [file, only] = process.argv.slice(2);
const types = { F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q2_K: 10, Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, IQ4_NL: 20, IQ4_XS: 23 };
const rows = [16, 128, 512];
const [n, k] = [2048, 2048];
const milliseconds = 400;

const module = await WebAssembly.compile(await readFile(file));
// The library's source of random numbers, which no product asks for.
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  (imports[from] ??= {})[name] = () => {
    throw new Error(`${from}.${name} was called`);
  };
}
const { set_up, run, error } = (await WebAssembly.instantiate(module, imports)).exports;
console.log(`[M, ${k}] x [${n}, ${k}], 1 thread, node ${process.version}: GFLOP/s for M = ${rows}, error at the last`);
for (const [name, id] of Object.entries(types)) {
  if (only && name !== only) continue;
  const speeds = rows.map((m) => {
    if (!set_up(id, m)) throw new Error(`no matrix of ${name}`);
    run();
    let least = Infinity;
    for (const began = performance.now(); performance.now() - began < milliseconds; ) {
      const start = performance.now();
      run();
      least = Math.min(least, performance.now() - start);
    }
    return ((2e-6 * m * n * k) / least).toFixed(1).padStart(8);
  });
  console.log(name.padEnd(8), ...speeds, ' ', error().toExponential(1));
}
