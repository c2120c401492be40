// The buffers that pieces lie in, of which there are so many and no more: new ones would wait for the
// garbage collector.

export class Rooms {
  readonly #free: ArrayBuffer[] = [];
  readonly #waiting: (() => void)[] = [];
  #nOut = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** A buffer of at least so many bytes, once there is one. Has to be given back. */
  async take(nBytes: number): Promise<ArrayBuffer> {
    while (this.#nOut >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#nOut += 1;
    const room = this.#free.pop();
    return room !== undefined && room.byteLength >= nBytes ? room : new ArrayBuffer(nBytes);
  }

  /** - `room`: as it was taken, or another in its place; `undefined` where it was lost */
  give(room: ArrayBuffer | undefined): void {
    this.#nOut -= 1;
    if (room !== undefined) this.#free.push(room);
    this.#waiting.shift()?.();
  }
}
