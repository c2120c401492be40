// How documents lie in the index: one item per passage, its fields the user's own and, with a leading
// underscore, ours. The first passage carries what belongs to the whole document.

import { EmbedderError } from '../errors.js';
import type { FaceFields, FaceItem } from './face.js';
import type { DocumentKind, Fields, Scalar, StoredDocument } from './types.js';

export const DOCUMENT = '_document';
export const KIND = '_kind';
export const TEXT = '_text';
export const TITLE = '_title';
export const START = '_start';
export const END = '_end';
/** Of the first passage only. */
export const PASSAGES = '_passages';
/** SHA-256 of what was embedded, and of the rest. */
export const CONTENT_HASH = '_contentHash';
export const DETAILS_HASH = '_detailsHash';

/** The id of an item may have 1024 bytes; the rest is for the number of the passage. */
const MAX_ID_BYTES = 900;

/** What is known of a document before it has vectors. */
export interface DocumentHead {
  readonly id: string;
  readonly kind: DocumentKind;
  readonly title: string | undefined;
  readonly fields: FaceFields;
  readonly contentHash: string;
  readonly detailsHash: string;
  readonly passages: readonly { readonly text: string; readonly start: number; readonly end: number }[];
}

/** What the page sends of one document. `vectors` and `multivectors` are per passage. */
export interface DocumentRecord extends DocumentHead {
  readonly vectors: readonly Float32Array[] | undefined;
  readonly multivectors: readonly (Float32Array | null)[] | undefined;
  /** Length of a token's vector. */
  readonly tokenDimensions: number | undefined;
}

export function itemId(document: string, passage: number): string {
  return `${document}#${passage}`;
}

export function itemFields(record: DocumentRecord, passage: number): FaceFields {
  const { text = '', start = 0, end = 0 } = record.passages[passage] ?? {};
  return {
    ...record.fields,
    [DOCUMENT]: record.id,
    [KIND]: record.kind,
    [TEXT]: text,
    [START]: start,
    [END]: end,
    ...(record.title === undefined ? {} : { [TITLE]: record.title }),
    ...(passage > 0 ? {} : { [PASSAGES]: record.passages.length, [CONTENT_HASH]: record.contentHash, [DETAILS_HASH]: record.detailsHash }),
  };
}

export interface StoredPassage {
  readonly document: string;
  readonly index: number;
  readonly kind: DocumentKind;
  readonly title: string | undefined;
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly fields: Record<string, Scalar | string[]>;
}

/** Reads an item's fields, of which a file from elsewhere may lack any. */
export function readItem({ id, fields }: Pick<FaceItem, 'id' | 'fields'>): StoredPassage {
  const own: Record<string, Scalar | string[]> = {};
  for (const [key, value] of Object.entries(fields)) if (!key.startsWith('_')) own[key] = value;
  const cut = id.lastIndexOf('#');
  const string = (key: string): string | undefined => (typeof fields[key] === 'string' ? fields[key] : undefined);
  const number = (key: string): number => (typeof fields[key] === 'number' ? fields[key] : 0);
  return {
    document: string(DOCUMENT) ?? (cut < 0 ? id : id.slice(0, cut)),
    index: Number(id.slice(cut + 1)) || 0,
    kind: fields[KIND] === 'image' ? 'image' : 'text',
    title: string(TITLE),
    text: string(TEXT) ?? '',
    start: number(START),
    end: number(END),
    fields: own,
  };
}

/** - `items`: all passages of one document, in order */
export function storedDocument(items: readonly StoredPassage[]): StoredDocument | undefined {
  const [first] = items;
  if (first === undefined) return undefined;
  return {
    id: first.document,
    kind: first.kind,
    ...(first.title === undefined ? {} : { title: first.title }),
    fields: first.fields,
    passages: items.map(({ text, start, end }) => ({ text, start, end })),
  };
}

/** Fails with `INPUT_INVALID` where an id cannot be one. */
export function checkId(id: unknown, at: string): string {
  if (typeof id !== 'string' || id === '') throw new EmbedderError('INPUT_INVALID', `${at}: the \`id\` must be a string that is not empty; found ${JSON.stringify(id)}`);
  const nBytes = new TextEncoder().encode(id).length;
  if (nBytes > MAX_ID_BYTES) throw new EmbedderError('INPUT_INVALID', `${at}: the \`id\` may have ${MAX_ID_BYTES} bytes; found ${nBytes}`);
  return id;
}

/** The fields as they are stored: what is missing is left out. Fails with `INPUT_INVALID` naming the field. */
export function checkFields(fields: Fields | undefined, at: string): FaceFields {
  const checked: FaceFields = {};
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value === null || value === undefined) continue;
    if (name === '' || /^[_$]/.test(name)) throw new EmbedderError('INPUT_INVALID', `${at}: a field's name may not begin with "_" or "$"; found "${name}"`);
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) checked[name] = [...value];
    else if (typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) checked[name] = value;
    else throw new EmbedderError('INPUT_INVALID', `${at}: field "${name}" must be a string, a finite number, a boolean or a list of strings`);
  }
  return checked;
}
