// How far vectors may be from the reference, and how far they are.
//   cosine >= 0.99999 summed in f64, per vector (per row of a multi-vector)
//   max abs <= 1e-4
// The second is asked of f32 weights only: fixtures/README.md section 4 gives the first alone for quantised ones.
import { expect } from '@playwright/test';
import type { Tensor } from './safetensors';

export const MIN_COSINE = 0.99999;
export const MAX_ABS = 1e-4;

export interface Vectors { values: Float32Array; rows: number }

export class Agreement {
  #what: string;
  #maxAbs: number;
  #n_vectors = 0;
  #worst_cosine = { value: 1, id: 'none' };
  #worst_abs = { value: 0, id: 'none' };
  #misses: string[] = [];

  constructor(what: string, maxAbs = MAX_ABS) {
    this.#what = what;
    this.#maxAbs = maxAbs;
  }

  /** - `golden`: `[dim]` or `[rows, dim]` */
  compare(id: string, found: Vectors, golden: Tensor): void {
    const rows = golden.shape.length === 2 ? golden.shape[0]! : 1;
    const dim = golden.shape.at(-1)!;
    if (found.rows !== rows || found.values.length !== rows * dim) {
      this.#misses.push(`${id}: needed [${rows}, ${dim}], found ${found.values.length} values in ${found.rows} rows`);
      return;
    }
    for (let row = 0; row < rows; row++) {
      const a = found.values.subarray(row * dim, (row + 1) * dim), b = golden.values.subarray(row * dim, (row + 1) * dim);
      const { cosine, max_abs } = compareVectors(a, b);
      const name = rows > 1 ? `${id} row ${row}` : id;
      this.#n_vectors++;
      if (!(cosine >= this.#worst_cosine.value)) this.#worst_cosine = { value: cosine, id: name };
      if (!(max_abs <= this.#worst_abs.value)) this.#worst_abs = { value: max_abs, id: name };
      if (!(cosine >= MIN_COSINE) || !(max_abs <= this.#maxAbs)) this.#misses.push(`${name}: cosine ${cosine}, max abs ${max_abs}`);
    }
  }

  /** Prints the count and the worst deviations; fails on any miss, and where fewer vectors came than expected. */
  settle(n_at_least: number): void {
    const { value: cosine, id: cosine_id } = this.#worst_cosine, { value: abs, id: abs_id } = this.#worst_abs;
    console.log(`${this.#what}: ${this.#n_vectors} vectors, worst cosine 1 - ${(1 - cosine).toExponential(2)} (${cosine_id}), worst abs ${abs.toExponential(2)} (${abs_id})`);
    expect(this.#misses, this.#what).toEqual([]);
    expect(this.#n_vectors, `${this.#what}: vectors compared`).toBeGreaterThanOrEqual(n_at_least);
  }
}

/** NaN on either side gives a NaN, which no gate lets through. */
export function compareVectors(a: Float32Array, b: Float32Array): { cosine: number; max_abs: number } {
  let dot = 0, aa = 0, bb = 0, max_abs = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= max_abs)) max_abs = difference;
  }
  return { cosine: dot / Math.sqrt(aa * bb), max_abs };
}
