// Models on disk. A path becomes a `file:` address, and those are read with Node's own streams; pictures
// stay with `fetch`, so that an address in somebody's data never opens a file of the server.

import { isBlob, presetPath } from '../model-files.js';
import type { Fetch, ModelFile, ModelFiles, ModelSource } from '../types.js';

interface Sourced {
  readonly model?: ModelSource | undefined;
  readonly fetch?: Fetch | undefined;
}

/** The options with paths resolved, and a `fetch` that opens the model's files where there are any. */
export function withFiles<O extends Sourced>(options: O): O {
  const folders = new Set<string>();
  const located = (file: ModelFile): ModelFile => {
    if (isBlob(file)) return file;
    const url = addressOf(file);
    // The parts of a split file lie beside its first one, the files of a directory in it.
    if (url.protocol === 'file:') folders.add(/\.(?:gguf|json)$/.test(url.pathname) ? new URL('.', url).href : `${url.href.replace(/\/$/, '')}/`);
    return url;
  };
  const { model } = options;
  if (model === undefined) return options;
  const isOne = typeof model === 'string' || model instanceof URL || isBlob(model);
  const resolved = isOne ? located(presetPath(model) ?? model) : locatedFiles(model as ModelFiles, located);
  return folders.size === 0 ? { ...options, model: resolved } : { ...options, model: resolved, fetch: fetchWithFiles([...folders], options.fetch ?? ((url, init) => fetch(url, init))) };
}

function locatedFiles(model: ModelFiles, located: (file: ModelFile) => ModelFile): ModelSource {
  // What is none of the documented forms is for `createEmbedder` to name.
  if (typeof model !== 'object' || model === null || model.text === undefined) return model as ModelSource;
  const { text, vision, projector, adapters } = model;
  return {
    text: Array.isArray(text) ? text.map(located) : located(text as ModelFile),
    ...(vision === undefined ? {} : { vision: located(vision) }),
    ...(projector === undefined ? {} : { projector: located(projector) }),
    ...(adapters === undefined ? {} : { adapters: Object.fromEntries(Object.entries(adapters).map(([task, file]) => [task, located(file)])) }),
  };
}

/** `C:\models` has the form of an address, and is none. */
function addressOf(file: string | URL): URL {
  if (file instanceof URL) return file;
  if (URL.canParse(file) && !/^[a-z]:[\\/]/i.test(file)) return new URL(file);
  const path = file.replaceAll('\\', '/');
  const base = `${process.cwd().replaceAll('\\', '/').replace(/^(?=[a-z]:)/i, '/')}/`;
  return new URL(escaped(/^[a-z]:\//i.test(path) ? `/${path}` : path), `file://${escaped(base)}`);
}

/** What an address would read as something else than a name. */
function escaped(path: string): string {
  return path.replaceAll('%', '%25').replaceAll('?', '%3F').replaceAll('#', '%23');
}

function fetchWithFiles(folders: readonly string[], fetch: Fetch): Fetch {
  return async (url, init) => {
    if (!url.startsWith('file:')) return fetch(url, init);
    if (!folders.some((folder) => url.startsWith(folder))) throw new TypeError('files are opened for the model alone; read this one and give its bytes');
    const [{ createReadStream }, { stat }, { Readable }] = await Promise.all([import('node:fs'), import('node:fs/promises'), import('node:stream')]);
    const path = new URL(url);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || !found.isFile()) return new Response(null, { status: 404, statusText: 'no such file' });
    const body = init.method === 'HEAD' ? null : (Readable.toWeb(createReadStream(path, { highWaterMark: 1 << 20 })) as ReadableStream);
    return new Response(body, { headers: { 'content-length': String(found.size) } });
  };
}
