// One file, from its source to the device, through one buffer:
//
//   source ─► chunks of any size ─► 1 MiB buffer ─► SHA-256 ─► sink
//
// The next chunk is asked for only when the last has gone through, so that never more than one chunk and
// the buffer are held, however large the file is.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { abortError, EmbedderError, reasonOf } from '../errors.js';
import { requireOk, statedSize, type OpenBody, type OpenUrl } from '../fetch-body.js';
import type { PlannedFile } from '../model-files.js';

/** The most that is handed on at once. */
export const SLICE_BYTES = 1 << 20;

/** Bytes after which other messages get a turn: reads that are answered from memory never leave the microtasks. */
const TURN_BYTES = 16 << 20;

export interface StreamHooks {
  /** The source is open; the size that its server states, if any. */
  onOpen(statedBytes: number | undefined): void;
  /** So many bytes have arrived in all. */
  onBytes(loaded: number): void;
  /** Takes the next bytes, which are only valid until it returns. */
  sink(bytes: Uint8Array): void | Promise<void>;
}

/**
 * Streams `file` into the hooks' sink and checks its length and, where stated, its SHA-256.
 *
 * Fails with `DOWNLOAD_FAILED` (status, network, length), `INTEGRITY` (hash) or an `AbortError`.
 */
export async function streamFile(file: PlannedFile, open: OpenUrl, hooks: StreamHooks, signal: AbortSignal): Promise<void> {
  const { source, nBytes } = file;
  const where = 'url' in source ? source.url : file.name;
  const body = 'url' in source ? await open(source.url, 'GET', signal) : openBlob(source.blob, file.name);
  const lengthError = (found: number): EmbedderError =>
    new EmbedderError('DOWNLOAD_FAILED', `${where}: needed ${nBytes} bytes, found ${found >= (nBytes ?? 0) ? 'more' : found}`, {
      data: { url: where, needed: nBytes, found },
    });
  try {
    requireOk(where, body);
    hooks.onOpen(statedSize(body));
    const hash = file.sha256 === undefined ? undefined : sha256.create();
    const buffer = new Uint8Array(Math.max(1, Math.min(SLICE_BYTES, nBytes ?? SLICE_BYTES)));
    let filled = 0;
    let loaded = 0;
    let sinceTurn = 0;
    const flush = async (): Promise<void> => {
      const bytes = buffer.subarray(0, filled);
      hash?.update(bytes);
      await hooks.sink(bytes);
      filled = 0;
      hooks.onBytes(loaded);
    };
    for (;;) {
      const chunk = await body.read();
      if (signal.aborted) throw abortError(signal);
      if (chunk === undefined) break;
      for (let offset = 0; offset < chunk.length; ) {
        const taken = Math.min(chunk.length - offset, buffer.length - filled);
        buffer.set(chunk.subarray(offset, offset + taken), filled);
        offset += taken;
        filled += taken;
        loaded += taken;
        sinceTurn += taken;
        if (nBytes !== undefined && loaded + chunk.length - offset > nBytes) throw lengthError(loaded + chunk.length - offset);
        if (filled === buffer.length) await flush();
        if (sinceTurn >= TURN_BYTES) {
          sinceTurn = 0;
          await turn();
          if (signal.aborted) throw abortError(signal);
        }
      }
    }
    if (filled > 0) await flush();
    if (nBytes !== undefined && loaded !== nBytes) throw lengthError(loaded);
    const found = hash === undefined ? undefined : bytesToHex(hash.digest());
    if (found !== file.sha256) {
      throw new EmbedderError('INTEGRITY', `${where}: needed SHA-256 ${file.sha256}, found ${found}`, { data: { url: where, needed: file.sha256, found } });
    }
  } catch (error) {
    body.cancel();
    throw error;
  }
}

/** Lets messages that wait, an abort among them, be delivered. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function openBlob(blob: Blob, name: string): OpenBody {
  const reader = blob.stream().getReader();
  return {
    head: { status: 200, statusText: '', contentLength: String(blob.size) },
    read: async () => {
      try {
        const { done, value } = await reader.read();
        return done ? undefined : value;
      } catch (cause) {
        throw new EmbedderError('IO', `${name}: the file can no longer be read (${reasonOf(cause)})`, { cause, data: { file: name } });
      }
    },
    cancel: () => void reader.cancel().catch(() => undefined),
  };
}
