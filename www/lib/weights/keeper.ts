// Keeps what is downloaded, file by file:
//
//   lock (of the file, in all tabs) ─► what is kept ─► pieces ─► `whole` is put last ─► unlock
//
// A tab that asks for a file which another one is downloading waits for it, and finds it kept. Where the
// store fails or is full, the load goes on without it, and says so once.

import { abortError, EmbedderError, isEmbedderError } from '../errors.js';
import { planDirectory, type PlannedFile } from '../model-files.js';
import { storageError } from '../opfs.js';
import type { ProgressEvent, WeightStore } from '../types.js';
import { Checksums } from './checksum.js';
import { keptOf } from './download-size.js';
import { bytesOf, forget, isWhole, keptFiles, keptModels, keyOf, misfitsOf, namesOf, noteOf, nothingKept, putNote, type KeptFile } from './kept.js';
import type { Keeping } from './load-file.js';
import type { RemoteFacts } from './remote-facts.js';

export interface KeeperHooks {
  readonly store: WeightStore | undefined;
  /** The store is the browser's, whose room can be asked for. */
  readonly isBrowsersStore: boolean;
  /** The address of the model's directory, where it is one. */
  readonly folder: string | undefined;
  readonly signal: AbortSignal;
  onProgress(event: ProgressEvent): void;
}

/** The store, as long as it works and has room; after that the load goes on without it. */
export class Keeper {
  readonly #hooks: KeeperHooks;
  readonly #store: WeightStore | undefined;
  /** Keys of the files that were loaded. */
  readonly #used = new Set<string>();
  /** What was kept when the load began: asked once, since listing takes as long as reading some 50 MB. */
  #listed: Promise<Map<string, KeptFile>> | undefined;
  #checksums: Promise<Checksums> | undefined;
  /** What was kept of the file that comes after one. */
  readonly #after = new Map<PlannedFile, KeptFile>();
  #isOpen: boolean;

  constructor(hooks: KeeperHooks) {
    this.#hooks = hooks;
    this.#store = hooks.store;
    this.#isOpen = hooks.store !== undefined;
  }

  /** What has no room as a whole is not begun. Browsers that do not tell find out on the way. */
  async askForRoom(files: readonly PlannedFile[], facts: readonly RemoteFacts[]): Promise<void> {
    const store = this.#store;
    if (store === undefined) return;
    let missing = 0;
    try {
      const kept = await this.#list(store);
      for (const [i, file] of files.entries()) {
        if (!('url' in file.source)) continue;
        const found = await keptOf(file.source.url, file.sha256, facts[i] as RemoteFacts, kept, store);
        const before = files[i - 1];
        if (before !== undefined && found !== undefined) this.#after.set(before, found);
        missing += Math.max(0, (facts[i]?.nBytes ?? 0) - bytesOf(found));
      }
    } catch (error) {
      return this.#giveUp(storageError('Listing the weights', error));
    }
    const { estimate } = this.#hooks.isBrowsersStore ? navigator.storage : { estimate: undefined };
    if (missing === 0 || estimate === undefined) return;
    const { quota, usage } = await estimate.call(navigator.storage).catch((): StorageEstimate => ({}));
    if (quota === undefined || usage === undefined || quota - usage >= missing) return;
    this.#giveUp(new EmbedderError('QUOTA', `The browser's storage has no room for the weights: needed ${missing} bytes, found ${Math.max(0, quota - usage)}`));
  }

  /** Runs `load`, which returns the file's length, with what is kept of the file, and completes that after it. */
  async withKept(file: PlannedFile, facts: RemoteFacts, load: (keeping: Keeping | undefined) => Promise<number>): Promise<void> {
    const store = this.#store;
    const { source } = file;
    const found = store === undefined || !('url' in source) ? undefined : await this.#find(() => this.#list(store), store, source.url, file, facts);
    if (store === undefined || found === undefined || !('url' in source)) return void (await load(undefined));
    this.#used.add(found.key);
    if (found.whole) return this.#load(store, found, file, source.url, load);
    await locked(found.key, this.#hooks.signal, async () => {
      // Whoever had the lock may have completed it.
      await this.#load(store, (await this.#find(() => keptFiles(store), store, source.url, file, facts)) ?? found, file, source.url, load);
    });
  }

  #list(store: WeightStore): Promise<Map<string, KeptFile>> {
    return (this.#listed ??= keptFiles(store));
  }

  /** `undefined`: of this file nothing can be kept, since nothing tells one version from another. */
  async #find(list: () => Promise<Map<string, KeptFile>>, store: WeightStore, url: string, file: PlannedFile, facts: RemoteFacts): Promise<KeptFile | undefined> {
    try {
      const found = await keptOf(url, file.sha256, facts, await list(), store);
      // Its description may have outlived some of its pieces.
      if (found?.whole === true) found.whole = isWhole(found, file.nBytes ?? (await noteOf(store, found))?.nBytes);
      const key = keyOf(url, file.sha256, facts.version);
      return found ?? (key === undefined ? undefined : nothingKept(key));
    } catch (error) {
      this.#giveUp(storageError('Listing the weights', error));
      return undefined;
    }
  }

  async #load(store: WeightStore, kept: KeptFile, planned: PlannedFile, url: string, load: (keeping: Keeping) => Promise<number>): Promise<void> {
    const keeping: Keeping = {
      store,
      file: kept,
      checksums: await (this.#checksums ??= Checksums.load()),
      next: namesOf(this.#after.get(planned)),
      isOpen: () => this.#isOpen,
      failed: (error) => this.#giveUp(storageError('Keeping weights', error)),
    };
    const note = { name: planned.name, url };
    await dropMisfits(store, kept, planned).catch((error: unknown) => keeping.failed(error));
    const before = kept.whole ? bytesOf(kept) : undefined;
    try {
      if (before === undefined) await this.#try(() => putNote(store, kept.key, 'part', { ...note, nBytes: planned.nBytes ?? null }));
      const nBytes = await load(keeping);
      if (before !== nBytes && bytesOf(kept) === nBytes) await this.#try(() => putNote(store, kept.key, 'whole', { ...note, nBytes }));
    } catch (error) {
      // Where pieces are not verified by themselves, any of them may be the wrong one.
      if (isEmbedderError(error) && error.code === 'INTEGRITY' && planned.hashes === undefined) await forget(store, kept).catch(() => undefined);
      throw error;
    } finally {
      // A file that has no room is not left half-way; a load that was cut off goes on from there.
      if (!this.#isOpen && before === undefined) await forget(store, kept).catch(() => undefined);
    }
  }

  async #try(put: () => Promise<void>): Promise<void> {
    if (!this.#isOpen) return;
    try {
      await put();
    } catch (error) {
      this.#giveUp(storageError('Keeping weights', error));
    }
  }

  #giveUp(error: EmbedderError): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#hooks.onProgress({ status: 'uncached', code: error.code, message: error.message });
  }

  /** Deletes what earlier versions of the model had and no model that is kept has any more. */
  async letGo(files: readonly PlannedFile[]): Promise<void> {
    const store = this.#store;
    if (store === undefined || !this.#isOpen) return;
    try {
      const inUse = new Set(this.#used);
      for (const { url, json } of await keptModels(store)) {
        for (const { sha256 } of planDirectory(json, new URL('.', url).href, { images: true, multivector: true }).files) if (sha256 !== undefined) inUse.add(sha256);
      }
      const urls = new Set(files.flatMap(({ source }) => ('url' in source ? [source.url] : [])));
      const { folder } = this.#hooks;
      for (const kept of (await keptFiles(store)).values()) {
        const url = inUse.has(kept.key) ? undefined : (await noteOf(store, kept))?.url;
        if (url !== undefined && (urls.has(url) || (folder !== undefined && url.startsWith(folder)))) await forget(store, kept);
      }
    } catch {
      // It is only in the way, and is let go at the next chance.
    }
  }
}

/** Deletes segments of other pieces than the file is cut into now, second ones of one place, and unfinished ones. */
async function dropMisfits(store: WeightStore, kept: KeptFile, { pieceBytes, nBytes }: PlannedFile): Promise<void> {
  const stale = [...kept.surplus];
  for (const { first, name } of misfitsOf(kept, pieceBytes, nBytes)) {
    kept.segments.delete(first);
    kept.whole = false;
    stale.push(name);
  }
  for (const name of stale) await store.delete(name);
}

/** Runs alone in all tabs, where they have locks. Ends with the tab that holds it. */
async function locked(key: string, signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  const locks = typeof navigator === 'undefined' ? undefined : (navigator.locks as LockManager | undefined);
  if (locks === undefined) return run();
  try {
    await locks.request(`jina-embeddings-web/weights/${key}`, { signal }, run);
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  }
}
