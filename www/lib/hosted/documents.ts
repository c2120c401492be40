// Inputs ─► the documents of a request, as JSON text.
//
// Texts go as strings. Pictures and PDFs go as `{image}` and `{pdf}`: an address for the server to fetch,
// or the file's bytes in base64. Pixels become a PNG; where that passes the server's limit and there is
// a canvas, a JPEG of quality 0.95.

import { readBitmap, type Pixels } from '../bitmap.js';
import { EmbedderError, isRecord, reasonOf } from '../errors.js';
import { openWith, readWhole } from '../fetch-body.js';
import { copyInput, nameOf, readBase64, readDataUrl } from '../inputs.js';
import { isBlob } from '../model-files.js';
import type { WireInput } from '../worker/protocol.js';
import { encodePng } from './png.js';
import { rulesOf } from './models.js';
import type { HostedInput, PdfSource } from './types.js';

/** The server's limit for a picture and for a PDF. */
export const MAX_FILE_BYTES = 8 << 20;
const JPEG_QUALITY = 0.95;

/** An input copied at the moment of the call. */
export type HostedWire = WireInput | { readonly pdf: { readonly url: string } | { readonly blob: Blob } | { readonly bytes: Uint8Array } };

/** Copies one input. Never fails: a bad one says so in its place. */
export async function copyHostedInput(input: HostedInput, base: string | undefined): Promise<HostedWire> {
  if (!isRecord(input) || !('pdf' in input)) return copyInput(input as Exclude<HostedInput, { pdf: PdfSource }>, base);
  try {
    return { pdf: copyPdf(input.pdf as PdfSource, base) };
  } catch (error) {
    return { invalid: { code: 'INPUT_INVALID', message: reasonOf(error) } };
  }
}

function copyPdf(pdf: PdfSource, base: string | undefined): Extract<HostedWire, { pdf: unknown }>['pdf'] {
  if (isBlob(pdf)) return { blob: pdf };
  const text = typeof pdf === 'string' ? pdf : nameOf(pdf) === 'URL' ? (pdf as URL).href : undefined;
  if (text !== undefined) {
    if (/^data:/i.test(text)) return { bytes: readDataUrl(text) };
    // "%PDF-" in base64.
    if (/^JVBERi[0-9A-Za-z+/\s]+={0,2}\s*$/.test(text)) return { bytes: readBase64(text) };
    if (text === '' || !URL.canParse(text, base)) throw new TypeError(`{pdf} is neither an address nor the base64 text of a PDF: ${JSON.stringify(text.slice(0, 60))}`);
    return { url: new URL(text, base).href };
  }
  if (nameOf(pdf) === 'ArrayBuffer') return { bytes: new Uint8Array(pdf as ArrayBuffer).slice() };
  if (nameOf(pdf) === 'Uint8Array') return { bytes: Uint8Array.from(pdf as Uint8Array) };
  throw new TypeError(`{pdf} must be an address or a file's bytes, not ${nameOf(pdf)}`);
}

/** Why the model cannot take the input, as far as that can be told without reading it. */
export function problemOf(wire: HostedWire, model: string): string | undefined {
  if ('invalid' in wire) return wire.invalid.message;
  if (!('text' in wire) && rulesOf(model)?.images === false) return `${model} takes texts only`;
  if ('text' in wire && wire.text === '') return 'the text is empty';
  const file = 'pdf' in wire ? wire.pdf : wire;
  const nBytes = 'blob' in file ? file.blob.size : 'bytes' in file ? file.bytes.length : 0;
  return nBytes > MAX_FILE_BYTES ? tooLarge('pdf' in wire ? 'PDF' : 'picture', nBytes) : undefined;
}

function tooLarge(what: string, nBytes: number): string {
  return `a ${what} may have at most ${MAX_FILE_BYTES} bytes, this one has ${nBytes}`;
}

/** Writes one input as JSON. Fails with `INPUT_INVALID`, `DOWNLOAD_FAILED` or an `AbortError`. */
export async function writeDocument(wire: HostedWire, base: string | undefined, signal: AbortSignal): Promise<string> {
  if ('text' in wire) return JSON.stringify(wire.text);
  if ('invalid' in wire) throw new EmbedderError('INPUT_INVALID', wire.invalid.message);
  const [field, source] = 'pdf' in wire ? (['pdf', wire.pdf] as const) : (['image', wire] as const);
  if ('url' in source && !isForThePage(source.url, base)) return JSON.stringify({ [field]: source.url });
  const bytes = await bytesOf(source, signal);
  if (bytes.length > MAX_FILE_BYTES) throw new EmbedderError('INPUT_INVALID', tooLarge(field === 'pdf' ? 'PDF' : 'picture', bytes.length));
  return `{"${field}":"${base64Of(bytes)}"}`;
}

/** Fails with `INPUT_INVALID` for an address that neither side can fetch. */
function isForThePage(address: string, base: string | undefined): boolean {
  const { protocol, origin } = new URL(address);
  if (protocol === 'blob:') return true;
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new EmbedderError('INPUT_INVALID', `needed an address of http:, https:, data: or blob:, found ${protocol}; read the file and give its bytes`);
  }
  return base !== undefined && new URL(base).origin === origin;
}

async function bytesOf(source: Exclude<WireInput, { text: string } | { invalid: unknown }>, signal: AbortSignal): Promise<Uint8Array> {
  if ('url' in source) return readWhole(source.url, openWith((url, init) => fetch(url, init)), MAX_FILE_BYTES, signal);
  if ('blob' in source) return new Uint8Array(await source.blob.arrayBuffer());
  if ('bytes' in source) return source.bytes;
  const pixels = 'bitmap' in source ? readBitmap(await keptBitmap(source.bitmap)) : source;
  const png = await encodePng(pixels);
  return png.length > MAX_FILE_BYTES && typeof OffscreenCanvas !== 'undefined' ? encodeJpeg(pixels) : png;
}

/** The copy of the call may be needed again, on the other side. */
function keptBitmap(bitmap: ImageBitmap): Promise<ImageBitmap> {
  return createImageBitmap(bitmap, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
}

async function encodeJpeg({ width, height, rgba }: Pixels): Promise<Uint8Array> {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d')?.putImageData(new ImageData(rgba as ImageDataArray, width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: JPEG_QUALITY });
  return new Uint8Array(await blob.arrayBuffer());
}

export function base64Of(bytes: Uint8Array): string {
  const native = (bytes as { toBase64?: () => string }).toBase64;
  if (native !== undefined) return native.call(bytes);
  let binary = '';
  // In parts: an argument list has a limit.
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}
