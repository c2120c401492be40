// What the page sent of each input ─► what the wasm face takes. Bytes are fetched here; pixels of bitmaps
// are read here, off the page's thread. One bad input is a note at its place, never the end of the others.

import { readBitmap } from '../bitmap.js';
import { EmbedderError, isAbortError, isEmbedderError, reasonOf, type InputError } from '../errors.js';
import { readWhole, type OpenUrl } from '../fetch-body.js';
import type { WasmInput } from '../wasm-face.js';
import type { WireInput } from '../worker/protocol.js';

/** Addresses opened at a time. */
const CONCURRENT_FETCHES = 6;

/** The largest picture file that is read; decoding has limits of its own. */
const MAX_PICTURE_BYTES = 64 << 20;

export type Prepared = WasmInput | { readonly invalid: Omit<InputError, 'index'> };

/** Prepares all inputs, in their order. Rejects only with an `AbortError`. */
export async function prepareInputs(inputs: readonly WireInput[], open: OpenUrl, signal: AbortSignal): Promise<Prepared[]> {
  const prepared = new Array<Prepared>(inputs.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < inputs.length; i = next++) {
      prepared[i] = await prepare(inputs[i] as WireInput, open, signal);
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_FETCHES, inputs.length) }, work));
  return prepared;
}

async function prepare(input: WireInput, open: OpenUrl, signal: AbortSignal): Promise<Prepared> {
  try {
    if ('url' in input) return { image: await readWhole(input.url, open, MAX_PICTURE_BYTES, signal) };
    if ('blob' in input) return { image: await readBlob(input.blob) };
    if ('bytes' in input) return { image: input.bytes };
    if ('bitmap' in input) return readBitmap(input.bitmap);
    return input;
  } catch (error) {
    if (isAbortError(error)) throw error;
    const code = isEmbedderError(error) ? error.code : 'INPUT_INVALID';
    return { invalid: { code, message: reasonOf(error) } };
  }
}

async function readBlob(blob: Blob): Promise<Uint8Array> {
  if (blob.size > MAX_PICTURE_BYTES) {
    throw new EmbedderError('INPUT_INVALID', `a picture file may have at most ${MAX_PICTURE_BYTES} bytes, this one has ${blob.size}`);
  }
  return new Uint8Array(await blob.arrayBuffer());
}
