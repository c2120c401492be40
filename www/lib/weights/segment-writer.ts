// Keeps the pieces of a file in segments, where the store can write in parts, and else each by itself:
//
//   piece, piece, piece … ──► <key>.<first>.new ──► <key>.<first>.<bytes>.x<checksums>
//
// What has its name is whole. A kill loses the segment that is being written, an abort or a failure of the
// network nothing: what there is of the segment is finished then.

import type { Checksums } from './checksum.js';
import { draftName, segmentOf, type KeptFile } from './kept.js';
import { isParted, PARTS, type PartedStore } from './parted-store.js';
import type { WeightStore } from '../types.js';

/** Pieces of a segment at most: their checksums have to fit into its name, of which file systems take 255 bytes. */
const SEGMENT_PIECES = 8;
/** On a slow network a segment ends sooner: a kill costs no more than this and one piece. */
const SEGMENT_MS = 5_000;

interface Open {
  readonly first: number;
  readonly since: number;
  readonly checksums: string[];
  readonly writes: Promise<unknown>[];
  nBytes: number;
}

export class SegmentWriter {
  readonly #store: WeightStore;
  readonly #file: KeptFile;
  #open: Open | undefined;
  /** Segments that are on their way to their names. */
  readonly #finishing = new Set<Promise<void>>();
  readonly #checksums: Checksums;
  readonly #failed: (error: unknown) => void;

  /** - `failed`: is told of a segment that could not be kept */
  constructor(store: WeightStore, file: KeptFile, checksums: Checksums, failed: (error: unknown) => void) {
    this.#store = store;
    this.#file = file;
    this.#checksums = checksums;
    this.#failed = failed;
  }

  /** Keeps piece `index`, which is `bytes`; pieces come in their order. Returns the bytes once they are needed no more, which may be at another buffer. */
  async add(index: number, bytes: Uint8Array): Promise<Uint8Array> {
    const store = this.#store, { key, segments } = this.#file;
    const checksum = this.#checksums.of(bytes);
    if (!isParted(store) || !store[PARTS].syncs) {
      const segment = segmentOf(key, index, bytes.length, [checksum]);
      await store.put(segment.name, bytes);
      segments.set(index, segment);
      return bytes;
    }
    if (this.#open !== undefined && index !== this.#open.first + this.#open.checksums.length) this.#finish(store);
    const open = (this.#open ??= { first: index, since: performance.now(), checksums: [], writes: [], nBytes: 0 });
    const at = open.nBytes;
    open.nBytes += bytes.length;
    open.checksums.push(checksum);
    const written = store.write(draftName(key, open.first), at, bytes);
    open.writes.push(written);
    if (open.checksums.length === SEGMENT_PIECES || performance.now() - open.since > SEGMENT_MS) this.#finish(store);
    return written;
  }

  /** Ends the segment that is being written; `keep`: under its name. Resolves when nothing is on its way any more. */
  async end(keep: boolean): Promise<void> {
    const store = this.#store;
    if (this.#open !== undefined && isParted(store)) this.#finish(store, keep);
    await Promise.all(this.#finishing);
  }

  #finish(store: PartedStore, keep = true): void {
    const { first, nBytes, checksums, writes } = this.#open as Open;
    this.#open = undefined;
    const draft = draftName(this.#file.key, first);
    const finish = async (): Promise<void> => {
      const outcomes = await Promise.allSettled(writes);
      try {
        if (keep && outcomes.every(({ status }) => status === 'fulfilled')) {
          const segment = segmentOf(this.#file.key, first, nBytes, checksums);
          await store.finish(draft, segment.name, nBytes);
          this.#file.segments.set(first, segment);
          return;
        }
      } catch (error) {
        this.#failed(error);
      }
      await store.delete(draft).catch((error: unknown) => this.#failed(error));
    };
    const finishing = finish().then(() => void this.#finishing.delete(finishing));
    this.#finishing.add(finishing);
  }
}
