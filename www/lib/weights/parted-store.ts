// What the browser's file system can do besides what every store can: read and write a value part by part.
// For each file it asks its other processes, which takes longer than 2 MiB take to be written.

import type { WeightStore } from '../types.js';

/** Marks such a store: one of the caller's own may have methods of any name. */
export const PARTS: unique symbol = Symbol('parts');

/** What the name of a value ends in that is being written. */
export const UNFINISHED = '.new';

/** Bytes that it writes are lent to it: it may take their buffer away, and returns them at another. What is asked at once is done one after the other. */
export interface PartedStore extends WeightStore {
  /**
   * Whether this thread has handles that read and write at once. Without, {@link finish} cannot be had: drafts would
   * take too long where every write makes a copy of the file.
   */
  readonly [PARTS]: { readonly syncs: boolean };
  /**
   * The bytes from `at` on, as many as `room` holds or there are; `undefined` where nothing has the name.
   *
   * - `next`: the names that will be read after this one, a few, which are opened meanwhile
   */
  read(name: string, at: number, room: Uint8Array, next?: readonly string[]): Promise<Uint8Array | undefined>;
  /** Writes over what is there from `at` on. Returns the same bytes; `bytes` itself may be empty then, or when this fails. */
  write(name: string, at: number, bytes: Uint8Array): Promise<Uint8Array>;
  /** Gives what was written as `draft` its name, and cuts off what lies behind `nBytes`. */
  finish(draft: string, name: string, nBytes: number): Promise<void>;
  /** Lets go of the files that are held open, which other tabs may want to delete. */
  release(): Promise<void>;
}

export function isParted(store: WeightStore): store is PartedStore {
  return PARTS in store;
}
