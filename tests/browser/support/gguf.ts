// Finds a tensor in a GGUF file, to damage it on purpose: header, metadata (skipped), tensor table, aligned data.

const TYPE_BYTES: Record<number, number> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const STRING = 8, ARRAY = 9;
const ALIGNMENT = 32;

/** Offset in the file of the first byte of a tensor's data. */
export function tensorOffset(file: Buffer, name: string): number {
  let at = 4 + 4;
  const u64 = (): number => Number(file.readBigUInt64LE((at += 8) - 8));
  const u32 = (): number => file.readUInt32LE((at += 4) - 4);
  const string = (): string => {
    const n = u64();
    return file.toString('utf8', at, (at += n));
  };
  const skip = (type: number): void => {
    if (type === STRING) string();
    else if (type === ARRAY) {
      const of = u32(), n = u64();
      if (of === STRING || of === ARRAY) for (let i = 0; i < n; i++) skip(of);
      else at += n * TYPE_BYTES[of]!;
    } else at += TYPE_BYTES[type]!;
  };
  const n_tensors = u64(), n_keys = u64();
  for (let i = 0; i < n_keys; i++) {
    string();
    skip(u32());
  }
  let found: number | undefined;
  for (let i = 0; i < n_tensors; i++) {
    const tensor = string(), n_dims = u32();
    at += 8 * n_dims + 4;
    const offset = u64();
    if (tensor === name) found = offset;
  }
  if (found === undefined) throw new Error(`the file has no tensor ${name}`);
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT + found;
}
