// What servers say of files before they are downloaded: how long they are, and which version it is.

import { isAbortError, isEmbedderError } from '../errors.js';
import { contentRange, statedSize, type OpenUrl } from '../fetch-body.js';
import type { PlannedFile } from '../model-files.js';

export interface RemoteFacts {
  readonly nBytes: number | undefined;
  /** What changes with the file: its ETag, else its date and length, as far as they are told. Not asked where the SHA-256 is known. */
  readonly version: string | undefined;
  /** There was no answer at all. */
  readonly unreachable: boolean;
}

/** Asks for what model.json does not tell. Rejects only with an `AbortError`. */
export function remoteFacts(files: readonly PlannedFile[], open: OpenUrl, signal: AbortSignal): Promise<RemoteFacts[]> {
  return Promise.all(
    files.map(async ({ nBytes, sha256, source }): Promise<RemoteFacts> => {
      if (!('url' in source) || (nBytes !== undefined && sha256 !== undefined)) return { nBytes, version: undefined, unreachable: false };
      const asked = await ask(source.url, open, signal);
      return { ...asked, nBytes: nBytes ?? asked.nBytes };
    }),
  );
}

/** By HEAD; where a server has none of that, by the first byte. */
async function ask(url: string, open: OpenUrl, signal: AbortSignal): Promise<RemoteFacts> {
  let unreachable = true;
  for (const method of ['HEAD', 'GET'] as const) {
    try {
      const body = await open(url, method, signal, method === 'GET' ? { range: { start: 0, end: 1 } } : {});
      body.cancel();
      unreachable = false;
      const { status, etag, lastModified } = body.head;
      const nBytes = status === 200 ? statedSize(body) : status === 206 ? contentRange(body)?.total : undefined;
      if (status !== 200 && status !== 206) continue;
      const version = etag ?? (nBytes === undefined ? undefined : `${lastModified ?? ''} ${nBytes}`);
      return { nBytes, version, unreachable };
    } catch (error) {
      if (isAbortError(error) || !isEmbedderError(error)) throw error;
      if (method === 'HEAD') continue;
    }
  }
  return { nBytes: undefined, version: undefined, unreachable };
}
