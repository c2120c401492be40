// The forms in which callers get vectors, and the name of the space that they lie in.

import type { EncodeOptions, MultiVector, VectorValues } from './types.js';

/** `values`: `[rows, dimensions]`. */
export class RowMajorVectors<V extends VectorValues = Float32Array> implements MultiVector<V> {
  readonly values: V;
  readonly rows: number;
  readonly dimensions: number;

  constructor(values: V, rows: number, dimensions: number) {
    this.values = values;
    this.rows = rows;
    this.dimensions = dimensions;
  }

  row(i: number): V {
    if (!Number.isInteger(i) || i < 0 || i >= this.rows) throw new RangeError(`needed a row from 0 to ${this.rows - 1}, found ${i}`);
    return this.values.subarray(i * this.dimensions, (i + 1) * this.dimensions) as V;
  }
}

/**
 * Names the space of a call's vectors: weights, adapter, pooling, length. Query and passage of one
 * adapter share it, as they are meant to be compared; so do late-chunked and plain vectors.
 */
export function spaceOf(weights: string, { task, returnMultivector }: EncodeOptions, dimensions: number): string {
  const adapter = task.split('.')[0];
  return `${weights}/${adapter}/${returnMultivector === true ? 'tokens' : 'mean'}-l2/${dimensions}`;
}
