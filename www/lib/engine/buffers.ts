// Every buffer of the device that computes, from its creation to its destruction.
//
// In a browser a buffer that the engine drops stays until JavaScript's garbage collector finds it, and
// the collector does not feel the pressure of graphics memory. The module can use an object only through
// the table of those it holds, so a buffer that is not in it any more is destroyed here, at once.

import type { WasmExports, WasmGpuDevice } from '../wasm-face.js';

type Buffer = ReturnType<WasmGpuDevice['createBuffer']>;

export class BufferLedger {
  readonly #alive = new Set<Buffer>();
  readonly #held: WebAssembly.Table | undefined;
  #bytes = 0;
  #peakBytes = 0;
  #isOver = false;

  /** Counts what `device` makes from now on. */
  constructor(device: Pick<WasmGpuDevice, 'createBuffer'>, exports: WasmExports | undefined) {
    this.#held = exports?.__wbindgen_externrefs;
    const create = device.createBuffer.bind(device);
    // An own property of this one device; others are not touched.
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      this.#add(buffer);
      return buffer;
    };
  }

  /** Bytes of the buffers that were made and not destroyed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most there has been at once. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Destroys what the module has dropped. To be called while no command is recorded and not submitted. */
  sweep(): void {
    const table = this.#held;
    if (table === undefined) return;
    const held = new Set<unknown>();
    for (let i = 0; i < table.length; i++) held.add(table.get(i));
    for (const buffer of [...this.#alive]) if (!held.has(buffer)) buffer.destroy();
  }

  /** Destroys all of them, and what work that nobody waits for any more still makes. */
  destroyAll(): void {
    this.#isOver = true;
    for (const buffer of [...this.#alive]) buffer.destroy();
  }

  #add(buffer: Buffer): void {
    this.#alive.add(buffer);
    this.#bytes += buffer.size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      if (this.#alive.delete(buffer)) this.#bytes -= buffer.size;
      destroy();
    };
    if (this.#isOver) buffer.destroy();
  }
}
