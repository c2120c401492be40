// Everything that puts things on the table: the file chooser, dropping, pasting, the passages field.
import { el } from './dom';
import { splitPassages } from './table';
import type { Table } from './table';

/** Above this a card shows a scaled-down copy, so that a hundred photographs do not fill the memory. */
const PREVIEW_FILE_BYTES = 500_000;
const PREVIEW_SIDE_PX = 480;

/** `tell` is given a sentence for the visitor. */
export function wireIntake(table: Table, tell: (sentence: string) => void): void {
  const add = (files: Iterable<File>): void => void addFiles(table, [...files], tell);
  const chooser = el<HTMLInputElement>('files');
  chooser.addEventListener('change', () => {
    add(chooser.files ?? []);
    chooser.value = '';
  });

  const passages = el<HTMLTextAreaElement>('passages'), button = el<HTMLButtonElement>('add-passages');
  const addPassages = (): void => {
    for (const passage of splitPassages(passages.value)) table.addPassage(passage);
    passages.value = '';
    button.disabled = true;
  };
  passages.addEventListener('input', () => { button.disabled = passages.value.trim() === ''; });
  passages.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !button.disabled) addPassages();
  });
  button.addEventListener('click', addPassages);

  document.addEventListener('paste', (event) => {
    const files = event.clipboardData?.files ?? [];
    if (files.length > 0) add(files);
  });
  wireDrop(add);
}

function wireDrop(add: (files: Iterable<File>) => void): void {
  const veil = el('drop-veil');
  let depth = 0; // dragenter and dragleave fire for every element on the way
  const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  const show = (change: number): void => {
    depth = Math.max(0, depth + change);
    veil.hidden = depth === 0;
  };
  document.addEventListener('dragenter', (event) => { if (carriesFiles(event)) show(1); });
  document.addEventListener('dragleave', (event) => { if (carriesFiles(event)) show(-1); });
  document.addEventListener('dragover', (event) => { if (carriesFiles(event)) event.preventDefault(); });
  document.addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show(-depth);
    add(event.dataTransfer?.files ?? []);
  });
}

async function addFiles(table: Table, files: readonly File[], tell: (sentence: string) => void): Promise<void> {
  const left_out: string[] = [];
  for (const file of files) {
    if (file.type.startsWith('image/')) {
      table.addPicture(file, file.name, await preview(file));
    } else if (file.type.startsWith('text/')) {
      for (const passage of splitPassages(await file.text())) table.addPassage(passage);
    } else {
      left_out.push(file.name);
    }
  }
  if (left_out.length > 0) tell(`Left out, being neither a picture nor text: ${left_out.join(', ')}.`);
}

/** An object URL of the file, or of a small copy of a large one. What cannot be decoded is shown as it is. */
async function preview(file: Blob): Promise<string> {
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
