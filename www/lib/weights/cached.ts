// What the page may ask of the weights that are kept on this device, and how it lets them go.

import { locateModel } from '../model-files.js';
import { storageError } from '../opfs.js';
import type { CachedFile, CachedWeights, WeightCacheOptions, WeightStore } from '../types.js';
import { bytesOf, forget, isWhole, keptFiles, keptModels, noteOf, type KeptFile } from './kept.js';
import { checkCache } from './check-cache.js';
import { openWeightStore } from './open-store.js';

/** Lists the files; a model's address is resolved against `base`. Nothing is fetched. Fails with `IO` where the storage refuses. */
export async function cachedWeights(options: WeightCacheOptions, base: string | undefined): Promise<CachedWeights> {
  const store = await openWeightStore(checkCache(options.cache));
  const files = store === undefined ? [] : (await chosen(store, options, addressFilter(options, base))).map(({ shown }) => shown);
  return { files, nBytes: files.reduce((sum, { nBytesCached }) => sum + nBytesCached, 0) };
}

/** Deletes them, and tells how many bytes that were. A load that is under way keeps its own copy on the device. */
export async function clearWeights(options: WeightCacheOptions, base: string | undefined): Promise<number> {
  const store = await openWeightStore(checkCache(options.cache));
  if (store === undefined) return 0;
  const isOfModel = addressFilter(options, base);
  const files = await chosen(store, options, isOfModel);
  try {
    for (const { name, url } of await keptModels(store)) if (isOfModel(url)) await store.delete(name);
    for (const { kept } of files) await forget(store, kept);
  } catch (cause) {
    throw storageError('Deleting weights', cause);
  }
  return files.reduce((sum, { shown }) => sum + shown.nBytesCached, 0);
}

async function chosen(store: WeightStore, options: WeightCacheOptions, isOfModel: (url: string) => boolean): Promise<{ readonly kept: KeptFile; readonly shown: CachedFile }[]> {
  const found = [];
  try {
    for (const kept of (await keptFiles(store)).values()) {
      const note = await noteOf(store, kept);
      // Pieces whose description was lost belong to no model, and go when everything does.
      if (options.model === undefined || (note !== undefined && isOfModel(note.url))) {
        const shown = { name: note?.name ?? kept.key, url: note?.url ?? null, nBytes: note?.nBytes ?? null, nBytesCached: bytesOf(kept), complete: isWhole(kept, note?.nBytes) };
        found.push({ kept, shown });
      }
    }
  } catch (cause) {
    throw storageError('Listing the weights', cause);
  }
  return found;
}

/** Whether an address belongs to the model that the options name; all do where they name none. */
function addressFilter({ model }: WeightCacheOptions, base: string | undefined): (url: string) => boolean {
  if (model === undefined) return () => true;
  const wire = locateModel(model, base);
  if (wire.kind === 'directory') return (url) => url.startsWith(wire.url);
  const urls = new Set(wire.files.flatMap(({ source }) => ('url' in source ? [source.url] : [])));
  return (url) => urls.has(url);
}
