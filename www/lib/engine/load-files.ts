// The files of a model in their order, each from this device or from its server, onto the GPU, and into the
// store for the next time.

import { bytesOf, isParted, Keeper, loadFile, type FileHooks, type KeeperHooks, type RemoteFacts, Rooms, ROOMS, StoreThread } from '#weights';
import type { OpenUrl } from '../fetch-body.js';
import type { PlannedFile } from '../model-files.js';
import type { WasmDevice, WasmModelLoader } from '../wasm-face.js';
import type { Guard } from './guard.js';
import { LoadProgress } from './progress.js';

/** Bytes handed to the GPU before waiting for it: it must not fall behind a fast source by more. */
const UPLOAD_WINDOW_BYTES = 32 << 20;

export interface FilesHooks extends KeeperHooks {
  readonly guard: Guard;
  readonly open: OpenUrl;
  /** Before a broken download is gone on with, the first time. */
  readonly retryPauseMs: number;
}

/** Loads all of `files`, of which servers told `facts`, and returns the number of their bytes. */
export async function loadFiles(files: readonly PlannedFile[], facts: readonly RemoteFacts[], loader: WasmModelLoader, device: WasmDevice, hooks: FilesHooks): Promise<number> {
  const thread = StoreThread.over(hooks.store);
  const store = thread ?? hooks.store;
  try {
    return await loadInTurn(files, facts, loader, device, { ...hooks, store });
  } finally {
    if (store !== undefined && isParted(store)) await store.release().catch(() => undefined); // it only held them open
    thread?.close();
  }
}

async function loadInTurn(files: readonly PlannedFile[], facts: readonly RemoteFacts[], loader: WasmModelLoader, device: WasmDevice, hooks: FilesHooks): Promise<number> {
  const { guard, open, signal, onProgress } = hooks;
  const progress = new LoadProgress(files.map(({ name }, i) => ({ name, nBytes: facts[i]?.nBytes })), onProgress);
  const keeper = new Keeper(hooks);
  await keeper.askForRoom(files, facts);
  const queue = guard.call(() => device.gpu_device())?.queue;
  const rangeOrigins = new Set<string>();
  const rooms = new Rooms(ROOMS);
  let total = 0;
  let sinceDrain = 0;
  for (const [i, file] of files.entries()) {
    progress.initiate(i);
    await keeper.withKept(file, facts[i] as RemoteFacts, async (keeping) => {
      let loaded = 0;
      progress.download(i, Math.min(bytesOf(keeping?.file), facts[i]?.nBytes ?? Infinity));
      const fileHooks: FileHooks = {
        open,
        signal,
        rangeOrigins,
        rooms,
        retryPauseMs: hooks.retryPauseMs,
        onBytes: (nBytes) => progress.advance(i, (loaded += nBytes)),
        sink: async (bytes) => {
          guard.call(() => loader.push(bytes));
          sinceDrain += bytes.length;
          if (queue !== undefined && sinceDrain >= UPLOAD_WINDOW_BYTES) {
            sinceDrain = 0;
            await guard.wait(() => queue.onSubmittedWorkDone());
          }
        },
      };
      guard.call(() => loader.begin_file(file.role, file.task, file.name, file.nBytes));
      const nBytes = await loadFile(file, keeping, fileHooks);
      guard.call(() => loader.end_file());
      total += nBytes;
      return nBytes;
    });
    progress.done(i);
  }
  await keeper.letGo(files);
  return total;
}
