import { EmbedderError } from './errors.js';

/** Pixels, row after row, four bytes each: red, green, blue, alpha (not multiplied in). */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
}

/** Reads the pixels of a bitmap, which is ours, and closes it. */
export function readBitmap(bitmap: ImageBitmap): Pixels {
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (context === null) throw new EmbedderError('INPUT_INVALID', 'the browser offers no 2-D canvas to read the pixels with');
    context.drawImage(bitmap, 0, 0);
    return { width, height, rgba: context.getImageData(0, 0, width, height).data as Uint8ClampedArray };
  } finally {
    bitmap.close();
  }
}
