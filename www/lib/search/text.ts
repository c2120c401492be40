// Words and sentences of any language. Where `Intl.Segmenter` is missing, simpler rules stand in: they
// know no dictionary, so Chinese, Japanese and Thai are then cut at every character.

export interface Span {
  /** UTF-16 offsets, as `String.prototype.slice` takes them. */
  readonly start: number;
  readonly end: number;
}

type Granularity = 'sentence' | 'word' | 'grapheme';

const segmenters = new Map<string, Intl.Segmenter>();

function segmenter(granularity: Granularity, locale: string | undefined): Intl.Segmenter | undefined {
  if (typeof Intl === 'undefined' || typeof Intl.Segmenter !== 'function') return undefined;
  const key = `${granularity} ${locale ?? ''}`;
  let made = segmenters.get(key);
  // Making one loads rules and dictionaries, so they are kept.
  if (made === undefined) segmenters.set(key, (made = new Intl.Segmenter(locale, { granularity })));
  return made;
}

const WITHOUT_SEGMENTER: Readonly<Record<Granularity, RegExp>> = {
  sentence: /[^.!?。！？।\n]*(?:[.!?。！？।]+["'”’»)\]]*\s*|\n+|$)/gu,
  word: /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|[\p{L}\p{N}\p{M}'’]+|[^\p{L}\p{N}]+/gu,
  grapheme: /\P{M}\p{M}*|\p{M}+/gu,
};

function segment(text: string, granularity: Granularity, locale: string | undefined): (Span & { readonly isWord: boolean })[] {
  const found: (Span & { isWord: boolean })[] = [];
  const by = segmenter(granularity, locale);
  if (by !== undefined) {
    for (const { index, segment: part, isWordLike } of by.segment(text)) found.push({ start: index, end: index + part.length, isWord: isWordLike === true });
    return found;
  }
  for (const match of text.matchAll(WITHOUT_SEGMENTER[granularity])) {
    if (match[0] !== '') found.push({ start: match.index, end: match.index + match[0].length, isWord: /[\p{L}\p{N}]/u.test(match[0]) });
  }
  return found;
}

/** Consecutive sentences that together are the whole text, white space included. A line break ends one. */
export function sentences(text: string, locale?: string): Span[] {
  return segment(text, 'sentence', locale);
}

/** Words and what stands between them, together the whole text. */
export function wordsAndGaps(text: string, locale?: string): (Span & { readonly isWord: boolean })[] {
  return segment(text, 'word', locale);
}

/** What a reader sees as single characters, together the whole text. */
export function graphemes(text: string, locale?: string): Span[] {
  return segment(text, 'grapheme', locale);
}

/** Scripts that are written without spaces between words. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

export function isUnspaced(text: string): boolean {
  return UNSPACED.test(text);
}

/**
 * About how many tokens the model's tokeniser makes of a text, from above for everyday prose: words of
 * spaced scripts at four UTF-8 bytes a token and at least one each, characters of unspaced scripts one each.
 *
 * An estimate, since the tokeniser's vocabulary is part of the model and lies in the worker; give
 * `countTokens` where the exact number matters.
 */
export function estimateTokens(text: string): number {
  let n = 0;
  for (const { 0: part } of text.matchAll(/[\p{L}\p{M}]+|\p{N}|[^\p{L}\p{M}\p{N}\s]+|\n+/gu)) {
    if (isUnspaced(part)) n += [...part].length;
    else if (/^\p{L}/u.test(part)) n += Math.max(1, Math.ceil(utf8Length(part) / 4));
    else n += Math.max(1, Math.ceil(part.length / 2));
  }
  return n;
}

function utf8Length(text: string): number {
  let n = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    n += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return n;
}
