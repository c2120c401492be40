/** Above this a card shows a scaled-down copy, so that a hundred photographs do not fill the memory. */
const PREVIEW_FILE_BYTES = 500_000;
const PREVIEW_SIDE_PX = 480;

/** An object URL of the file, or of a small copy of a large one. What cannot be decoded is shown as it is. */
export async function preview(file: Blob): Promise<string> {
  if (file.size <= PREVIEW_FILE_BYTES) return URL.createObjectURL(file);
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, PREVIEW_SIDE_PX / Math.min(bitmap.width, bitmap.height));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return URL.createObjectURL(await canvas.convertToBlob({ type: 'image/webp', quality: 0.85 }));
  } catch {
    return URL.createObjectURL(file);
  }
}
