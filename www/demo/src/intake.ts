// Everything that puts things on the table: the file and folder choosers, dropping, pasting, the passages field.
import { el } from './dom';
import { splitPassages } from './library';
import type { Library } from './library';
import type { Format } from './shelf';

const TEXT_FORMATS: Readonly<Record<string, Format>> = { txt: 'text', text: 'text', md: 'markdown', markdown: 'markdown', html: 'html', htm: 'html' };

/** `tell` is given a sentence for the visitor. */
export function wireIntake(library: Library, tell: (sentence: string) => void): void {
  const add = (files: Iterable<File>): void => void addFiles(library, [...files], tell);
  for (const id of ['files', 'folder']) {
    const chooser = el<HTMLInputElement>(id);
    chooser.addEventListener('change', () => {
      add(chooser.files ?? []);
      chooser.value = '';
    });
  }
  el('choose-folder').addEventListener('click', () => el('folder').click());

  const passages = el<HTMLTextAreaElement>('passages'), button = el<HTMLButtonElement>('add-passages');
  const addPassages = (): void => {
    const texts = splitPassages(passages.value);
    passages.value = '';
    button.disabled = true;
    void (async () => { for (const text of texts) await library.addText(text); })();
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
    // Entries are gone once the event is over, so they are taken before anything is awaited.
    const entries = [...event.dataTransfer?.items ?? []].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    if (entries.length === 0) return add(event.dataTransfer?.files ?? []);
    void Promise.all(entries.map(filesOf)).then((files) => add(files.flat()));
  });
}

/** The files of a folder and of the folders in it. */
async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    files.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}

async function addFiles(library: Library, files: readonly File[], tell: (sentence: string) => void): Promise<void> {
  const left_out: string[] = [];
  for (const file of files) {
    const format = TEXT_FORMATS[file.name.split('.').at(-1)?.toLowerCase() ?? ''] ?? (file.type === 'text/plain' ? 'text' : undefined);
    if (file.type.startsWith('image/')) await library.addPicture(file, file.name);
    else if (format) await library.addText(await file.text(), { format, name: file.name, titled: true });
    else left_out.push(file.name);
  }
  const more = left_out.length > 5 ? ` and ${left_out.length - 5} more` : '';
  tell(left_out.length > 0 ? `Left out, being neither a picture nor text: ${left_out.slice(0, 5).join(', ')}${more}.` : '');
}
