// An embedder with a model that is loaded, for tests of what comes after.

import { createEmbedder } from '../../../www/lib/index.js';
import type { CreateOptions, Embedder } from '../../../www/lib/index.js';
import { fakeFace, type Behaviour, type FakeFace } from './fake-face.js';
import { workerWith, type FakeWorker } from './fake-worker.js';

export interface Loaded {
  readonly embedder: Embedder;
  readonly face: FakeFace;
  readonly worker: Worker & FakeWorker;
}

export const ONE_FILE = { text: new Blob([new Uint8Array(64)]) };

export async function load(behaviour: Behaviour = {}, options: Partial<CreateOptions> = {}): Promise<Loaded> {
  const face = fakeFace(behaviour);
  const worker = workerWith(face);
  const embedder = await createEmbedder({ model: ONE_FILE, device: 'wasm', worker, ...options });
  return { embedder, face, worker };
}

/** A promise to be settled by hand. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

export const pause = (ms = 10): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
