// Pixels ─► a PNG file, where there is no canvas to do it or its rounding is not wanted: eight bits per
// channel, no interlacing, every row filtered by Paeth's predictor, deflated by the platform.
// Format: https://www.w3.org/TR/png-3/

import type { Pixels } from '../bitmap.js';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const RGB = 2;
const RGBA = 6;
const PAETH = 4;

export async function encodePng({ width, height, rgba }: Pixels): Promise<Uint8Array> {
  const channels = isOpaque(rgba) ? 3 : 4;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, channels === 3 ? RGB : RGBA, 0, 0, 0], 8);
  const data = await deflate(filterRows(rgba, width, height, channels));
  return concatenate([SIGNATURE, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', new Uint8Array())]);
}

function isOpaque(rgba: Uint8ClampedArray): boolean {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 255) return false;
  return true;
}

/** `[height, 1 + width * channels]`: each row after the number of its filter. */
function filterRows(rgba: Uint8ClampedArray, width: number, height: number, channels: 3 | 4): Uint8Array {
  const stride = 1 + width * channels;
  const rows = new Uint8Array(height * stride);
  const at = (x: number, y: number, c: number): number => (x < 0 || y < 0 ? 0 : (rgba[(y * width + x) * 4 + c] as number));
  for (let y = 0; y < height; y += 1) {
    let to = y * stride;
    rows[to++] = PAETH;
    for (let x = 0; x < width; x += 1) {
      for (let c = 0; c < channels; c += 1) {
        rows[to++] = at(x, y, c) - predict(at(x - 1, y, c), at(x, y - 1, c), at(x - 1, y - 1, c));
      }
    }
  }
  return rows;
}

/** Left, above or above left: whichever is nearest to left + above - above left. */
function predict(left: number, above: number, corner: number): number {
  const estimate = left + above - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - above), Math.abs(estimate - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const compressed = new Blob([bytes as BlobPart]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(compressed).arrayBuffer());
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** Polynomial 0xedb88320, bit by bit from the least. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
