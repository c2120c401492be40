// NumPy's .npy, version 1.0: magic, version, length of the header, the header as a Python literal padded
// to a multiple of 64 bytes, the values in C order.
// Reference: numpy/lib/format.py.

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const ALIGNMENT = 64;

/** - `values`: in C order, as many as `shape` says */
export function toNpy(values: Float32Array | BigInt64Array, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const needed = shape.reduce((product, n) => product * n, 1);
  if (values.length !== needed) throw new RangeError(`the shape [${shape.join(', ')}] needs ${needed} values, found ${values.length}`);
  const type = values instanceof Float32Array ? '<f4' : '<i8';
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const literal = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = MAGIC.length + 4;
  const headerBytes = Math.ceil((before + literal.length + 1) / ALIGNMENT) * ALIGNMENT;
  const file = new Uint8Array(headerBytes + values.byteLength);
  file.set(MAGIC);
  file[6] = 1;
  const view = new DataView(file.buffer);
  view.setUint16(8, headerBytes - before, true);
  file.set(new TextEncoder().encode(literal.padEnd(headerBytes - before - 1) + '\n'), before);
  // Written value by value: what the file says must not depend on the machine's byte order.
  if (values instanceof Float32Array) values.forEach((value, i) => view.setFloat32(headerBytes + 4 * i, value, true));
  else values.forEach((value, i) => view.setBigInt64(headerBytes + 8 * i, value, true));
  return file;
}
