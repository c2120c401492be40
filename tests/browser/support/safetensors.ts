// Reads .safetensors: a u64 of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes.
import { readFileSync } from 'node:fs';

export interface Tensor { shape: number[]; values: Float32Array }

interface Entry { dtype: string; shape: number[]; data_offsets: [start: number, end: number] }

export class Safetensors {
  #path: string;
  #entries: Record<string, Entry>;
  #data: Buffer;

  constructor(path: string) {
    this.#path = path;
    const file = readFileSync(path);
    const n_header_bytes = Number(file.readBigUInt64LE(0));
    const { __metadata__: _, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + n_header_bytes)) as Record<string, Entry>;
    this.#entries = entries;
    this.#data = file.subarray(8 + n_header_bytes);
  }

  names(): string[] { return Object.keys(this.#entries); }
  has(name: string): boolean { return Object.hasOwn(this.#entries, name); }

  /** Fails where the tensor is missing or is not f32. */
  f32(name: string): Tensor {
    const entry = this.#entries[name];
    if (!entry) throw new Error(`${this.#path} has no tensor ${name}`);
    if (entry.dtype !== 'F32') throw new Error(`${this.#path}: ${name} is ${entry.dtype}, and F32 was wanted`);
    const [start, end] = entry.data_offsets;
    const values = new Float32Array((end - start) / 4);
    for (let i = 0; i < values.length; i++) values[i] = this.#data.readFloatLE(start + 4 * i);
    return { shape: entry.shape, values };
  }
}
