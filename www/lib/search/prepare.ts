// A document as the caller gives it ─► its passages, what is to be embedded of them, and its hashes.

import { EmbedderError, isRecord } from '../errors.js';
import { openWith } from '../fetch-body.js';
import { prepareInputs } from '../engine/pictures.js';
import { copyInput } from '../inputs.js';
import type { Input } from '../types.js';
import type { PlainText } from './formats/blocks.js';
import { canonical, hashOf } from './hash.js';
import { splitPassages, type PassageOptions } from './passages.js';
import { checkFields, checkId, type DocumentHead } from './records.js';
import type { EmbeddedDocument, ImageDocument, SearchDocument, TokenVectors } from './types.js';

/** What decides, besides a document's content, which vectors it gets. */
export interface Recipe {
  readonly dimensions: number | undefined;
  readonly multivector: boolean;
  readonly lateChunking: boolean;
  readonly task: string;
  readonly passages: PassageOptions;
}

export interface Prepared extends DocumentHead {
  /** One input per passage, or the vectors that the caller has. */
  readonly source:
    | { readonly inputs: readonly Input[] }
    | { readonly vectors: readonly Float32Array[] | undefined; readonly multivectors: readonly (TokenVectors | null)[] | undefined; readonly space: string | undefined; readonly multivectorSpace: string | undefined };
}

/**
 * Fails with `INPUT_INVALID` naming the document, with what fetching a picture fails with, or with an
 * `AbortError`.
 *
 * - `at`: what to call the document where it has no id
 */
export async function prepare(document: SearchDocument, recipe: Recipe, at: string, signal: AbortSignal): Promise<Prepared> {
  if (!isRecord(document)) throw new EmbedderError('INPUT_INVALID', `${at}: a document must be an object`);
  const id = checkId(document.id, at);
  const named = `document "${id}"`;
  const forms = (['text', 'html', 'markdown', 'image', 'passages'] as const).filter((form) => (document as unknown as Record<string, unknown>)[form] !== undefined);
  if (forms.length !== 1) {
    throw new EmbedderError('INPUT_INVALID', `${named} must have one of \`text\`, \`html\`, \`markdown\`, \`image\` and \`passages\`; found ${forms.join(', ') || 'none'}`, { data: { id } });
  }
  const fields = checkFields(document.fields, named);
  const optional = (value: unknown, name: string): string | undefined => {
    if (value === undefined || typeof value === 'string') return value;
    throw new EmbedderError('INPUT_INVALID', `${named}: \`${name}\` must be a string`, { data: { id } });
  };
  const title = optional(document.title, 'title');
  const details = async (shown: string | undefined, more = ''): Promise<string> => hashOf(shown ?? '', canonical(fields), more);

  if (forms[0] === 'image') {
    const caption = optional((document as ImageDocument).caption, 'caption') ?? '';
    const { input, content } = await picture(document as ImageDocument, named, signal);
    return {
      id, kind: 'image', title, fields,
      contentHash: await hashOf('image', canonical(recipe), ...content),
      detailsHash: await details(title, caption),
      passages: [{ text: caption, start: 0, end: caption.length }],
      source: { inputs: [input] },
    };
  }
  if (forms[0] === 'passages') return { ...(await embedded(document as EmbeddedDocument, named)), id, title, fields, detailsHash: await details(title) };

  const form = forms[0] as 'text' | 'html' | 'markdown';
  const given = (document as unknown as Record<string, unknown>)[form];
  if (typeof given !== 'string') throw new EmbedderError('INPUT_INVALID', `${named}: \`${form}\` must be a string`, { data: { id } });
  const plain: PlainText = form === 'text' ? { text: given, breaks: [] } : (await import('#search-formats'))[form === 'html' ? 'htmlToText' : 'markdownToText'](given);
  const options = { locale: plain.locale, ...recipe.passages, ...(recipe.lateChunking ? { overlapTokens: 0 } : {}) };
  const passages = splitPassages(plain.text, options, plain.breaks);
  if (passages.length === 0) throw new EmbedderError('INPUT_INVALID', `${named} has no text`, { data: { id } });
  const shown = title ?? plain.title;
  return {
    id, kind: 'text', title: shown, fields, passages,
    contentHash: await hashOf(form, canonical(recipe), given),
    detailsHash: await details(shown),
    source: { inputs: passages.map(({ text }) => ({ text })) },
  };
}

/** The picture's bytes or pixels: fetched once, hashed, and embedded from there. */
async function picture({ image }: ImageDocument, named: string, signal: AbortSignal): Promise<{ input: Input; content: (string | Uint8Array | Uint8ClampedArray)[] }> {
  const base = typeof document !== 'undefined' ? document.baseURI : typeof location === 'undefined' ? undefined : location.href;
  const [read] = await prepareInputs([await copyInput({ image }, base)], openWith((url, init) => fetch(url, init)), signal);
  if (read === undefined || 'text' in read) throw new EmbedderError('INPUT_INVALID', `${named}: \`image\` is no picture`);
  if ('invalid' in read) throw new EmbedderError(read.invalid.code, `${named}: ${read.invalid.message}`);
  if ('image' in read) return { input: { image: read.image }, content: [read.image] };
  const { width, height, rgba } = read;
  return { input: { image: new ImageData(rgba as Uint8ClampedArray<ArrayBuffer>, width, height) }, content: [`${width}x${height}`, rgba] };
}

async function embedded(document: EmbeddedDocument, named: string): Promise<Pick<Prepared, 'kind' | 'passages' | 'contentHash' | 'source'>> {
  const { passages, kind = 'text', space, multivectorSpace } = document;
  if (!Array.isArray(passages) || passages.length === 0) throw new EmbedderError('INPUT_INVALID', `${named}: \`passages\` must be a list that is not empty`);
  if (kind !== 'text' && kind !== 'image') throw new EmbedderError('INPUT_INVALID', `${named}: \`kind\` must be "text" or "image"`);
  const isVector = (value: unknown): boolean => Object.prototype.toString.call(value) === '[object Float32Array]';
  passages.forEach(({ text, vector, multivector }, i) => {
    if (text !== undefined && typeof text !== 'string') throw new EmbedderError('INPUT_INVALID', `${named}: passage ${i}: \`text\` must be a string`);
    if (vector === undefined && multivector === undefined) throw new EmbedderError('INPUT_INVALID', `${named}: passage ${i} has no vector`);
    if (multivector !== undefined && multivector.values?.length !== multivector.rows * multivector.dimensions) {
      throw new EmbedderError('INPUT_INVALID', `${named}: passage ${i}: \`multivector\` must hold rows x dimensions values, ${multivector.rows} x ${multivector.dimensions}; found ${multivector.values?.length}`);
    }
    for (const [name, value] of Object.entries({ vector, 'multivector.values': multivector?.values })) {
      if (value !== undefined && !isVector(value)) throw new EmbedderError('INPUT_INVALID', `${named}: passage ${i}: \`${name}\` must be a Float32Array`);
    }
    if ((vector === undefined) !== (passages[0]?.vector === undefined)) throw new EmbedderError('INPUT_INVALID', `${named}: some passages have a \`vector\` and some have none`);
  });
  let at = 0;
  const bytesOf = (values: Float32Array | undefined): Uint8Array => new Uint8Array(values?.buffer ?? new ArrayBuffer(0), values?.byteOffset ?? 0, values?.byteLength ?? 0);
  return {
    kind,
    passages: passages.map(({ text = '' }) => {
      const start = at;
      at += text.length;
      return { text, start, end: at };
    }),
    contentHash: await hashOf('passages', canonical({ kind, space, multivectorSpace }), ...passages.flatMap(({ text = '', vector, multivector }) => [text, bytesOf(vector), bytesOf(multivector?.values)])),
    source: {
      vectors: passages[0]?.vector === undefined ? undefined : passages.map(({ vector }) => vector as Float32Array),
      multivectors: passages.every(({ multivector }) => multivector === undefined) ? undefined : passages.map(({ multivector }) => multivector ?? null),
      space, multivectorSpace,
    },
  };
}
