// Every buffer of the device that computes, by size, from its creation to its destruction.
//
// In a browser a buffer that the engine drops stays until JavaScript's garbage collector finds it, and
// the collector does not feel the pressure of graphics memory. The engine's pools say how many bytes they
// hold for each purpose; whatever else was made for it has no owner, and is destroyed here:
//
//   pools hold as many bytes as were made      all of them have an owner: they are remembered as kept
//   pools hold as many bytes as are kept       the others have none: destroyed
//   anything else                              it cannot be told which; they wait for the next time

import type { ReservedBytes } from '../wasm-face.js';

/** The part of a `GPUBuffer` that is used here. */
interface CountedBuffer {
  readonly size: number;
  readonly usage: number;
  destroy(): void;
}

/** The part of a `GPUDevice` that is used here. */
export interface CountedDevice {
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): CountedBuffer;
}

type Purpose = keyof ReservedBytes;

/** `GPUBufferUsage`, which not every thread with a device has as a name. */
const MAP_READ = 0x01;
const UNIFORM = 0x40;

interface Held {
  readonly alive: Set<CountedBuffer>;
  kept: Set<CountedBuffer>;
}

export class BufferLedger {
  readonly #held: Readonly<Record<Purpose, Held>> = { tensors: nothing(), numbers: nothing(), staging: nothing() };
  #bytes = 0;
  #peakBytes = 0;

  /** Counts what `device` makes from now on. */
  constructor(device: CountedDevice) {
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

  /** Destroys what the engine's pools no longer hold. To be called while nothing is recorded and not submitted. */
  sweep(reserved: ReservedBytes): void {
    for (const [purpose, held] of Object.entries(this.#held) as [Purpose, Held][]) {
      if (bytesOf(held.alive) === reserved[purpose]) held.kept = new Set(held.alive);
      else if (bytesOf(held.kept) === reserved[purpose]) this.#destroy(held, (buffer) => !held.kept.has(buffer));
    }
  }

  /** Destroys all of them. */
  destroyAll(): void {
    for (const held of Object.values(this.#held)) this.#destroy(held, () => true);
  }

  #add(buffer: CountedBuffer): void {
    const { alive } = this.#held[purposeOf(buffer)];
    alive.add(buffer);
    this.#bytes += buffer.size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      if (alive.delete(buffer)) this.#bytes -= buffer.size;
      destroy();
    };
  }

  #destroy(held: Held, which: (buffer: CountedBuffer) => boolean): void {
    for (const buffer of [...held.alive]) {
      if (!which(buffer)) continue;
      held.kept.delete(buffer);
      buffer.destroy();
    }
  }
}

function nothing(): Held {
  return { alive: new Set(), kept: new Set() };
}

function purposeOf({ usage }: CountedBuffer): Purpose {
  if (usage & MAP_READ) return 'staging';
  return usage & UNIFORM ? 'numbers' : 'tensors';
}

function bytesOf(buffers: Iterable<CountedBuffer>): number {
  let sum = 0;
  for (const { size } of buffers) sum += size;
  return sum;
}
