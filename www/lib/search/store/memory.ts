// No file at all: the index lives as long as its worker.

import type { FileState, IndexStore } from './store.js';

export class MemoryStore implements IndexStore {
  readonly kind = 'memory';
  #state: FileState | undefined;

  async state(): Promise<FileState | undefined> {
    return this.#state;
  }

  async read(): Promise<FileState | undefined> {
    return undefined;
  }

  async write(offset: number, bytes: Uint8Array): Promise<FileState> {
    return (this.#state = { generation: this.#state?.generation ?? 1, nBytes: offset + bytes.length });
  }

  async replace(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<FileState> {
    let nBytes = 0;
    for await (const chunk of chunks) nBytes += chunk.length;
    return (this.#state = { generation: (this.#state?.generation ?? 0) + 1, nBytes });
  }

  async clear(): Promise<void> {
    this.#state = undefined;
  }

  close(): void {
    // Nothing is held.
  }
}
