// Turns bytes into progress events that a progress bar can trust: `loaded` never falls, `total` never
// changes, the last one is 100. Sizes told by a server are only a hint (a compressed transfer states the
// compressed size), so what is reported never passes them, and the end of the file settles them.

import type { ProgressEvent } from '../types.js';

/** Where the size is known, a file reports at most so many steps; else one step per so many bytes. */
const STEPS_PER_FILE = 200;
const BYTES_PER_STEP = 1 << 20;

interface FileProgress {
  readonly name: string;
  /** Known beforehand; counts towards the total over all files. */
  readonly expected: number | undefined;
  total: number | undefined;
  loaded: number;
  reported: number;
}

export class LoadProgress {
  readonly #emit: (event: ProgressEvent) => void;
  readonly #files: FileProgress[];
  readonly #total: number | undefined;

  /** `files`: name and, where known beforehand, size in bytes. */
  constructor(files: readonly { readonly name: string; readonly nBytes: number | undefined }[], emit: (event: ProgressEvent) => void) {
    this.#emit = emit;
    this.#files = files.map(({ name, nBytes }) => ({ name, expected: nBytes, total: nBytes, loaded: 0, reported: -1 }));
    this.#total = this.#files.reduce<number | undefined>((sum, { expected }) => (sum === undefined || expected === undefined ? undefined : sum + expected), 0);
  }

  initiate(index: number): void {
    this.#emit({ status: 'initiate', file: this.#file(index).name });
  }

  /** The file's bytes begin to arrive; `cached` of them are on this device already. */
  download(index: number, cached: number): void {
    const file = this.#file(index);
    this.#emit({ status: 'download', file: file.name, cached });
    this.#report(file);
  }

  /** So many bytes of the file have arrived. */
  advance(index: number, loaded: number): void {
    const file = this.#file(index);
    file.loaded = Math.max(file.loaded, file.total === undefined ? loaded : Math.min(loaded, file.total));
    const step = file.total === undefined ? BYTES_PER_STEP : file.total / STEPS_PER_FILE;
    if (file.loaded - file.reported >= step && file.loaded !== file.total) this.#report(file);
  }

  /** The file is complete, verified, and on the device. */
  done(index: number): void {
    const file = this.#file(index);
    file.total ??= file.loaded;
    file.loaded = file.total;
    this.#report(file);
    this.#emit({ status: 'upload', file: file.name, loaded: file.total, total: file.total, progress: 100 });
    this.#emit({ status: 'done', file: file.name });
  }

  #file(index: number): FileProgress {
    const file = this.#files[index];
    if (file === undefined) throw new RangeError(`no file ${index}`);
    return file;
  }

  #report(file: FileProgress): void {
    file.reported = file.loaded;
    const { name, loaded, total } = file;
    this.#emit({ status: 'progress', file: name, loaded, ...(total === undefined ? {} : { total, progress: percent(loaded, total) }) });
    if (this.#total === undefined) return;
    const sum = this.#files.reduce((bytes, each) => bytes + each.loaded, 0);
    this.#emit({ status: 'progress_total', loaded: sum, total: this.#total, progress: percent(sum, this.#total) });
  }
}

function percent(loaded: number, total: number): number {
  return total === 0 ? 100 : (loaded / total) * 100;
}
