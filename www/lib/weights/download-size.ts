// How much of a model is here, and how much a load would fetch.

import type { PlannedFile } from '../model-files.js';
import type { Availability, WeightStore } from '../types.js';
import { bytesOf, isWhole, keptFiles, keyOf, noteOf, type KeptFile } from './kept.js';
import type { RemoteFacts } from './remote-facts.js';

/**
 * What a load of `files` would download. A size that no server told makes `nBytes` null.
 */
export async function downloadOf(files: readonly PlannedFile[], facts: readonly RemoteFacts[], store: WeightStore | undefined): Promise<NonNullable<Availability['download']>> {
  const kept = store === undefined ? new Map<string, KeptFile>() : await keptFiles(store);
  let nFiles = 0, nBytesCached = 0;
  let nBytes: number | null = 0;
  for (const [i, file] of files.entries()) {
    if (!('url' in file.source)) continue;
    const fact = facts[i] as RemoteFacts;
    const found = await keptOf(file.source.url, file.sha256, fact, kept, store);
    nBytesCached += bytesOf(found);
    if (isWhole(found, fact.nBytes)) continue;
    nFiles += 1;
    nBytes = nBytes === null || fact.nBytes === undefined ? null : nBytes + Math.max(0, fact.nBytes - bytesOf(found));
  }
  return { nFiles, nBytes, nBytesCached };
}

/** What is kept of a file: under its key, or, where its server cannot be reached, what came from there last. */
export async function keptOf(url: string, sha256: string | undefined, facts: RemoteFacts, kept: ReadonlyMap<string, KeptFile>, store: WeightStore | undefined): Promise<KeptFile | undefined> {
  const key = keyOf(url, sha256, facts.version);
  if (key !== undefined) return kept.get(key);
  if (!facts.unreachable || store === undefined) return undefined;
  for (const file of kept.values()) {
    if (file.whole && (await noteOf(store, file))?.url === url) return file;
  }
  return undefined;
}
