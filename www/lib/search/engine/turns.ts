// Who may touch an index's file: one writer, or several readers, in all tabs and workers of the origin.
// Web Locks where there are any; they end with the tab that holds them. Within this thread turns are
// taken in the order in which they were asked for.

export class Turns {
  readonly #name: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** - `name`: of the lock; `undefined` where nobody else can have the file */
  constructor(name: string | undefined) {
    this.#name = name;
  }

  write<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#locked('exclusive', run));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  read<T>(run: () => Promise<T>): Promise<T> {
    return this.#locked('shared', run);
  }

  #locked<T>(mode: LockMode, run: () => Promise<T>): Promise<T> {
    const locks = typeof navigator === 'undefined' ? undefined : navigator.locks;
    if (this.#name === undefined || locks === undefined) return run();
    return locks.request(this.#name, { mode }, run) as Promise<T>;
  }
}
