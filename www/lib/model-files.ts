// From what the caller calls "the model" to a list of files in the order they are loaded:
// text parts, vision, projector, adapters.
//
//   createEmbedder({model}) ─► locateModel ─► WireModel ─► (in the engine) planFiles ─► PlannedFile[]
//
// The first step runs in the page, where relative addresses mean something; the second reads model.json.

import { EmbedderError, isRecord, reasonOf } from './errors.js';
import type { ModelFile, ModelSource } from './types.js';
import type { FileRole } from './wasm-face.js';
import type { FileSource, WireFile, WireModel } from './worker/protocol.js';

/** A file to load, with what is known of it beforehand. */
export interface PlannedFile extends WireFile {
  /** From model.json or the local file; `undefined` for a bare address. */
  readonly nBytes: number | undefined;
  /** Lower-case hexadecimal. */
  readonly sha256: string | undefined;
  /** What is read, handed on and kept at once, but for a file's last piece; at most {@link PIECE_BYTES}. */
  readonly pieceBytes: number;
  /** SHA-256 of every `nBytes` of the file, a part of `pieceBytes`, where model.json tells them. */
  readonly hashes: { readonly nBytes: number; readonly sha256: readonly string[] } | undefined;
}

/** The most that a piece has. */
export const PIECE_BYTES = 2 << 20;
/** model.json may have hashes of as little. */
const MIN_HASHED_BYTES = 1 << 14;

/** The files of a model, and what model.json says about them. */
export interface ModelPlan {
  readonly files: readonly PlannedFile[];
  readonly name: string;
  readonly licence: string | undefined;
  readonly space: string | undefined;
  /** Width of the decoder, where model.json states it. */
  readonly hiddenSize?: number | undefined;
  /** Inputs and their vectors, to be recomputed on a device that is new. */
  readonly selfTest?: { readonly url: string; readonly sha256: string } | undefined;
}

/** The parts of a directory that the caller wants. */
export interface WantedParts {
  readonly images: boolean;
  readonly multivector: boolean;
}

const SPLIT_FILE = /-00001-of-(\d{5})\.gguf$/;
const LOAD_ORDER: readonly FileRole[] = ['text', 'vision', 'projector', 'adapter'];

/** Models known by name: where a site, or a project in Node, keeps them. The package holds no weights. */
const PRESETS: Readonly<Record<string, string>> = { tiny: 'models/tiny/' };

/** The path of a preset below the site's root or the working directory. */
export function presetPath(model: unknown): string | undefined {
  return typeof model === 'string' && Object.hasOwn(PRESETS, model) ? PRESETS[model] : undefined;
}

/**
 * Resolves the caller's `model` against `base`, the page's address.
 *
 * Fails with `INPUT_INVALID` where it is none of the documented forms.
 */
export function locateModel(model: ModelSource, base: string | undefined): WireModel {
  if (isBlob(model)) return { kind: 'files', files: [wireFile('text', model, base)] };
  if (typeof model === 'string' || model instanceof URL) {
    const preset = presetPath(model);
    const url = resolve(preset === undefined ? model : `/${preset}`, base, 'model');
    if (url.pathname.endsWith('.gguf')) {
      return { kind: 'files', files: splitParts(url).map((part) => wireFile('text', part, base)) };
    }
    if (url.pathname.endsWith('/model.json')) url.pathname = url.pathname.slice(0, -'model.json'.length);
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return { kind: 'directory', url: url.href };
  }
  if (!isRecord(model) || model['text'] === undefined) {
    throw new EmbedderError('INPUT_INVALID', 'option `model` must be the address of a model directory or GGUF file, a File, or an object with `text`');
  }
  const { text, vision, projector, adapters } = model;
  const texts: readonly ModelFile[] = Array.isArray(text) ? text : [text as ModelFile];
  if (texts.length === 0) throw new EmbedderError('INPUT_INVALID', 'option `model.text` is an empty list; it needs the parts of the text model');
  return {
    kind: 'files',
    files: [
      ...texts.map((part) => wireFile('text', part, base)),
      ...(vision === undefined ? [] : [wireFile('vision', vision, base)]),
      ...(projector === undefined ? [] : [wireFile('projector', projector, base)]),
      ...Object.entries(adapters ?? {}).map(([task, file]) => wireFile('adapter', file, base, task)),
    ],
  };
}

/** `x-00001-of-00003.gguf` stands for its three parts. */
function splitParts(first: URL): URL[] {
  const count = Number(SPLIT_FILE.exec(first.pathname)?.[1] ?? 1);
  if (count <= 1) return [first];
  return Array.from({ length: count }, (_, i) => {
    const part = new URL(first);
    part.pathname = first.pathname.replace(SPLIT_FILE, `-${String(i + 1).padStart(5, '0')}-of-$1.gguf`);
    return part;
  });
}

function wireFile(role: FileRole, file: ModelFile, base: string | undefined, task?: string): WireFile {
  const of = task === undefined ? {} : { task };
  if (isBlob(file)) {
    const name = 'name' in file && typeof file.name === 'string' ? file.name : task === undefined ? role : `${role} ${task}`;
    return { role, ...of, name, source: { blob: file } };
  }
  if (typeof file !== 'string' && !(file instanceof URL)) {
    throw new EmbedderError('INPUT_INVALID', `option \`model\`: the ${role} file must be an address or a File, not ${typeof file}`);
  }
  const url = resolve(file, base, `model.${role}`);
  return { role, ...of, name: fileName(url), source: { url: url.href } };
}

/** The last part of the path, for people to read. */
function fileName(url: URL): string {
  const name = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function resolve(address: string | URL, base: string | undefined, option: string): URL {
  try {
    return new URL(address, base);
  } catch (cause) {
    throw new EmbedderError('INPUT_INVALID', `option \`${option}\`: ${JSON.stringify(String(address))} is not an address`, { cause });
  }
}

export function isBlob(value: unknown): value is Blob {
  return typeof Blob !== 'undefined' && value instanceof Blob;
}

/** The plan of files given one by one. */
export function planGivenFiles(files: readonly WireFile[]): ModelPlan {
  const name = files[0]?.name ?? '';
  return {
    files: files.map((file) => ({ ...file, nBytes: sizeOf(file.source), sha256: undefined, pieceBytes: PIECE_BYTES, hashes: undefined })),
    name: name.replace(SPLIT_FILE, '').replace(/\.gguf$/, ''),
    licence: undefined,
    space: undefined,
  };
}

function sizeOf(source: FileSource): number | undefined {
  return 'blob' in source ? source.blob.size : undefined;
}

/**
 * Reads model.json, which lies at `directory`.
 *
 * Fails with `MODEL_INVALID` naming the entry, what was needed and what was found. A path must stay
 * inside the directory: whoever hosts a model decides what is read there, and nowhere else.
 */
export function planDirectory(json: string, directory: string, wanted: WantedParts): ModelPlan {
  const url = new URL('model.json', directory).href;
  const bad = (what: string, cause?: unknown): EmbedderError => new EmbedderError('MODEL_INVALID', `${url}: ${what}`, { cause, data: { url } });
  let manifest: unknown;
  try {
    manifest = JSON.parse(json);
  } catch (cause) {
    throw bad(`needed JSON, found ${JSON.stringify(json.slice(0, 40))} (${reasonOf(cause)})`, cause);
  }
  if (!isRecord(manifest) || manifest['format'] !== 'jina-embeddings-web') {
    throw bad(`needed "format": "jina-embeddings-web", found ${JSON.stringify(isRecord(manifest) ? manifest['format'] : manifest)}`);
  }
  if (manifest['format_version'] !== 1) throw bad(`needed "format_version": 1, found ${JSON.stringify(manifest['format_version'])}`);
  const entries = manifest['files'];
  if (!Array.isArray(entries)) throw bad(`needed "files" to be a list, found ${typeof entries}`);
  const files = entries.map((entry: unknown, i) => planEntry(entry, `files[${i}]`, directory, bad));
  if (!files.some((file) => file.role === 'text')) throw bad('needed a file of role "text", found none');
  const text = (key: string): string | undefined => (typeof manifest[key] === 'string' ? manifest[key] : undefined);
  return {
    files: files
      .filter((file) => (wanted.images || file.role !== 'vision') && (wanted.multivector || file.role !== 'projector'))
      .sort((a, b) => LOAD_ORDER.indexOf(a.role) - LOAD_ORDER.indexOf(b.role)),
    name: text('name') ?? new URL(directory).pathname,
    // What the converter writes where its source states none.
    licence: text('licence') === 'unknown' ? undefined : text('licence'),
    space: text('space'),
    hiddenSize: hiddenSizeOf(manifest['config']),
    selfTest: planSelfTest(manifest['self_test'], directory, bad),
  };
}

function hiddenSizeOf(config: unknown): number | undefined {
  const size = isRecord(config) ? config['hidden_size'] : undefined;
  return Number.isSafeInteger(size) && (size as number) > 0 ? (size as number) : undefined;
}

function planSelfTest(entry: unknown, directory: string, bad: (what: string) => EmbedderError): ModelPlan['selfTest'] {
  if (entry === undefined) return undefined;
  const { path, sha256 } = isRecord(entry) ? entry : {};
  if (typeof path !== 'string' || path === '' || typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw bad(`needed "self_test" to have a path and 64 hexadecimal digits of SHA-256, found ${JSON.stringify(entry)}`);
  }
  const url = insideOf(directory, path);
  if (url === undefined) throw bad(`needed self_test.path to stay inside the model directory, found ${JSON.stringify(path)}`);
  return { url, sha256: sha256.toLowerCase() };
}

/** The address of a path of the directory, unless it leads out of it. */
function insideOf(directory: string, path: string): string | undefined {
  try {
    const { href } = new URL(path, directory);
    return href.startsWith(directory) ? href : undefined;
  } catch {
    return undefined;
  }
}

function planEntry(entry: unknown, at: string, directory: string, bad: (what: string) => EmbedderError): PlannedFile {
  if (!isRecord(entry)) throw bad(`needed ${at} to be an object, found ${JSON.stringify(entry)}`);
  const { path, role, task, n_bytes: nBytes, sha256 } = entry;
  if (typeof path !== 'string' || path === '') throw bad(`needed ${at}.path to be a file name, found ${JSON.stringify(path)}`);
  if (!LOAD_ORDER.includes(role as FileRole)) throw bad(`needed ${at}.role to be one of ${LOAD_ORDER.join(', ')}, found ${JSON.stringify(role)}`);
  if (role === 'adapter' && typeof task !== 'string') throw bad(`needed ${at}.task to name the adapter's task, found ${JSON.stringify(task)}`);
  if (nBytes !== undefined && !(Number.isSafeInteger(nBytes) && (nBytes as number) >= 0)) {
    throw bad(`needed ${at}.n_bytes to be a number of bytes, found ${JSON.stringify(nBytes)}`);
  }
  if (sha256 !== undefined && !(typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256))) {
    throw bad(`needed ${at}.sha256 to be 64 hexadecimal digits, found ${JSON.stringify(sha256)}`);
  }
  const url = insideOf(directory, path);
  if (url === undefined) throw bad(`needed ${at}.path to stay inside the model directory, found ${JSON.stringify(path)}`);
  return {
    role: role as FileRole,
    ...(typeof task === 'string' ? { task } : {}),
    name: path,
    source: { url },
    nBytes: nBytes as number | undefined,
    sha256: (sha256 as string | undefined)?.toLowerCase(),
    ...planPieces(entry['pieces'], nBytes as number | undefined, `${at}.pieces`, bad),
  };
}

function planPieces(pieces: unknown, nBytes: number | undefined, at: string, bad: (what: string) => EmbedderError): Pick<PlannedFile, 'pieceBytes' | 'hashes'> {
  const none = { pieceBytes: PIECE_BYTES, hashes: undefined };
  if (pieces === undefined || nBytes === undefined) return none;
  if (!isRecord(pieces)) throw bad(`needed ${at} to be an object, found ${JSON.stringify(pieces)}`);
  const hashedBytes = pieces['n_bytes'] as number;
  if (!Number.isSafeInteger(hashedBytes) || hashedBytes < 1) throw bad(`needed ${at}.n_bytes to be a number of bytes, found ${JSON.stringify(pieces['n_bytes'])}`);
  const hashes = pieces['sha256'];
  const needed = Math.ceil(nBytes / hashedBytes);
  if (!Array.isArray(hashes) || hashes.length !== needed || !hashes.every((hash: unknown) => typeof hash === 'string' && /^[0-9a-f]{64}$/i.test(hash))) {
    throw bad(`needed ${at}.sha256 to be a list of ${needed} hashes of 64 hexadecimal digits`);
  }
  // More than the buffers hold, or next to nothing: the file's own hash serves.
  if (hashedBytes < MIN_HASHED_BYTES || hashedBytes > PIECE_BYTES) return none;
  return { pieceBytes: PIECE_BYTES - (PIECE_BYTES % hashedBytes), hashes: { nBytes: hashedBytes, sha256: hashes.map((hash: string) => hash.toLowerCase()) } };
}
