// What callers hand over ─► what crosses to the engine. Copies are made at the moment of the call: the
// caller may change or close its own right after, and none of its buffers is ever transferred.

import { reasonOf } from './errors.js';
import { isBlob } from './model-files.js';
import type { ImageSource, Input } from './types.js';
import type { WireInput } from './worker/protocol.js';

/** An input that will be reported at its index. */
const invalid = (message: string): WireInput => ({ invalid: { code: 'INPUT_INVALID', message } });

/** The beginnings, in base64, of the picture files that are read: PNG, JPEG, GIF, WebP, BMP. */
const BASE64_PICTURE = /^(?:iVBORw0KGgo|\/9j\/|R0lGOD|UklGR|Qk)[A-Za-z0-9+/\s]{24,}={0,2}\s*$/;

/** Copies one input; `base` is the page's address. Never fails: a bad input says so in its place. */
export async function copyInput(input: Input, base: string | undefined): Promise<WireInput> {
  try {
    if (typeof input === 'string') return { text: input };
    if (typeof input === 'object' && input !== null) {
      if ('text' in input && 'image' in input) return invalid('an input is either {text} or {image}, this one is both');
      if ('text' in input) {
        return typeof input.text === 'string' ? { text: input.text } : invalid(`{text} must be a string, not ${nameOf(input.text)}`);
      }
      if ('image' in input) return await copyImage(input.image, base);
    }
    return invalid(`an input must be a string, {text} or {image}, not ${nameOf(input)}`);
  } catch (error) {
    return invalid(reasonOf(error));
  }
}

/** Buffers and bitmaps made by {@link copyInput}: ours, so they may move to the engine without another copy. */
export function transferablesOf(inputs: readonly WireInput[]): Transferable[] {
  return inputs.flatMap((input): Transferable[] => {
    if ('bytes' in input) return [input.bytes.buffer as ArrayBuffer];
    if ('rgba' in input) return [input.rgba.buffer as ArrayBuffer];
    return 'bitmap' in input ? [input.bitmap] : [];
  });
}

async function copyImage(image: ImageSource, base: string | undefined): Promise<WireInput> {
  if (typeof image === 'string') return copyImageString(image, base);
  if (isBlob(image)) return { blob: image };
  switch (nameOf(image)) {
    case 'URL':
      return copyImageString((image as URL).href, base);
    case 'ArrayBuffer':
    case 'SharedArrayBuffer':
      return { bytes: new Uint8Array(image as ArrayBuffer).slice() };
    case 'Uint8Array':
    case 'Uint8ClampedArray':
      // Not `slice`, which a Node `Buffer` answers with a view.
      return { bytes: Uint8Array.from(image as Uint8Array) };
    case 'ImageData': {
      const { width, height, data } = image as ImageData;
      if (data.BYTES_PER_ELEMENT !== 1) return invalid('ImageData must hold 8-bit values');
      return { width, height, rgba: Uint8ClampedArray.from(data) };
    }
    case 'HTMLImageElement':
      if (!(image as HTMLImageElement).complete) return invalid('the <img> has not loaded yet: await its decode() first');
      return { bitmap: await copyPixels(image as HTMLImageElement) };
    case 'ImageBitmap':
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas':
      return { bitmap: await copyPixels(image as ImageBitmap) };
    default:
      return invalid(`{image} must be an address, a file's bytes, or pixels, not ${nameOf(image)}`);
  }
}

function copyPixels(image: CanvasImageSource): Promise<ImageBitmap> {
  return createImageBitmap(image as ImageBitmapSource, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
}

function copyImageString(image: string, base: string | undefined): WireInput {
  if (/^data:/i.test(image)) return { bytes: readDataUrl(image) };
  if (BASE64_PICTURE.test(image)) return { bytes: readBase64(image) };
  if (image === '') return invalid('{image} is an empty string');
  const url = URL.canParse(image, base) ? new URL(image, base) : undefined;
  return url === undefined ? invalid(`{image} is neither an address nor the base64 text of a picture: ${JSON.stringify(image.slice(0, 60))}`) : { url: url.href };
}

/** Read here and not by `fetch`, which a page's content security policy may deny for `data:`. */
export function readDataUrl(url: string): Uint8Array {
  const comma = url.indexOf(',');
  if (comma === -1) throw new TypeError('the data: URL has no comma before its data');
  const payload = readPercentEncoded(url.slice(comma + 1));
  return /;\s*base64$/i.test(url.slice(0, comma)) ? readBase64(new TextDecoder('latin1').decode(payload)) : payload;
}

/** A `data:` URL's payload is ASCII with `%XX` for every other byte. */
function readPercentEncoded(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const bytes = new Uint8Array(encoded.length);
  let length = 0;
  for (let i = 0; i < encoded.length; i += 1) {
    let byte = encoded[i] as number;
    if (byte === 0x25) {
      const hex = String.fromCharCode(encoded[i + 1] ?? 0, encoded[i + 2] ?? 0);
      if (/^[0-9a-f]{2}$/i.test(hex)) {
        byte = parseInt(hex, 16);
        i += 2;
      }
    }
    bytes[length++] = byte;
  }
  return bytes.slice(0, length);
}

export function readBase64(text: string): Uint8Array {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    throw new TypeError('the base64 text holds a character that is none of base64, or is cut off');
  }
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** The class of a value, also of one from another frame. */
export function nameOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}
