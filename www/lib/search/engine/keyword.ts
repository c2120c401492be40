// Search by the words themselves: MiniSearch over the passages' texts and titles, with words of any
// language. Scripts without spaces are indexed by their words and, since a query may be segmented
// otherwise than the text around it, by pairs of characters too.

import MiniSearch from 'minisearch';
import { isUnspaced, wordsAndGaps } from '../text.js';
import type { TextSpan } from '../types.js';

export interface KeywordItem {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** Further fields, joined. */
  readonly more: string;
}

export interface KeywordHit {
  readonly id: string;
  readonly score: number;
  /** The indexed terms that the query's words led to. */
  readonly terms: readonly string[];
}

/** A word that differs in one letter in five is still found. */
const FUZZY_SHARE = 0.2;
const FUZZY_FROM_LETTERS = 5;
const PREFIX_FROM_LETTERS = 2;

/** Lower case without accents, in one form of Unicode: "Café" is found as "cafe". */
export function normalised(word: string): string {
  const folded = word.normalize('NFKC').toLowerCase();
  // Marks are letters of their own right in other scripts than these.
  return /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]/u.test(folded) ? folded.normalize('NFD').replace(/\p{Mn}+/gu, '').normalize('NFC') : folded;
}

/** Words of spaced scripts: `Intl.Segmenter` finds the same ones, and takes several times as long. */
const SPACED_WORD = /[\p{L}\p{N}\p{M}]+(?:['’._][\p{L}\p{N}\p{M}]+)*/gu;

function words(text: string): TextSpan[] {
  if (isUnspaced(text)) return wordsAndGaps(text).filter(({ isWord }) => isWord);
  return Array.from(text.matchAll(SPACED_WORD), ({ 0: word, index }) => ({ start: index, end: index + word.length }));
}

/** The terms of a text, and where each stands in it. */
export function terms(text: string): { readonly term: string; readonly start: number; readonly end: number }[] {
  const found: { term: string; start: number; end: number }[] = [];
  for (const { start, end } of words(text)) {
    const word = text.slice(start, end);
    found.push({ term: normalised(word), start, end });
    // "sleeping_cat.jpg" is one word to Unicode, and three to a reader.
    const parts = [...word.matchAll(/[^._]+/gu)];
    if (parts.length > 1) for (const { 0: part, index } of parts) found.push({ term: normalised(part), start: start + index, end: start + index + part.length });
  }
  // Pairs are taken across the words of a run, whose borders are a guess of the dictionary.
  for (const { 0: run, index } of text.matchAll(/[\p{L}\p{M}]{2,}/gu)) {
    if (!isUnspaced(run)) continue;
    const characters = [...run];
    let at = index;
    for (let i = 0; i + 1 < characters.length; i++) {
      const pair = `${characters[i]}${characters[i + 1]}`;
      if (isUnspaced(pair)) found.push({ term: normalised(pair), start: at, end: at + pair.length });
      at += characters[i]?.length ?? 0;
    }
  }
  return found;
}

/** The terms of a query: of spaced scripts those of one letter, such as "a", say nothing beside others. */
export function askedTerms(query: string): ReturnType<typeof terms> {
  const all = terms(query);
  const telling = all.filter(({ term }) => term.length > 1 || isUnspaced(term) || /\p{N}/u.test(term));
  return telling.length === 0 ? all : telling;
}

export class KeywordIndex {
  readonly #index = new MiniSearch<KeywordItem>({
    fields: ['title', 'text', 'more'],
    tokenize: (text) => terms(text).map(({ term }) => term),
    processTerm: (term) => term,
    searchOptions: { boost: { title: 2 } },
  });

  get size(): number {
    return this.#index.documentCount;
  }

  put(items: readonly KeywordItem[]): void {
    for (const item of items) {
      if (this.#index.has(item.id)) this.#index.discard(item.id);
      this.#index.add(item);
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) if (this.#index.has(id)) this.#index.discard(id);
  }

  /** Best first. - `prefix`: the last word may be the beginning of one */
  search(query: string, { prefix }: { prefix: boolean }): KeywordHit[] {
    const asked = askedTerms(query);
    const last = asked.reduce((latest, { end }) => Math.max(latest, end), 0);
    const open = prefix && last === query.trimEnd().length ? new Set(asked.filter(({ end }) => end === last).map(({ term }) => term)) : new Set<string>();
    return this.#index
      .search(query, {
        tokenize: () => asked.map(({ term }) => term),
        prefix: (term) => open.has(term) && term.length >= (isUnspaced(term) ? 1 : PREFIX_FROM_LETTERS),
        fuzzy: (term) => (term.length >= FUZZY_FROM_LETTERS && !isUnspaced(term) && !/\d/.test(term) ? FUZZY_SHARE : false),
        maxFuzzy: 2,
      })
      .map(({ id, score, terms: matched }) => ({ id: id as string, score, terms: matched }));
  }
}

/**
 * Where `matched` terms stand in a text; what overlaps or touches is joined. Of a term of an unspaced script
 * that only begins as one of the `asked` does, the beginning is marked.
 */
export function highlights(text: string, matched: ReadonlySet<string>, asked: readonly string[]): TextSpan[] {
  const spans = terms(text)
    .filter(({ term }) => matched.has(term))
    .map(({ term, start, end }) => {
      if (!isUnspaced(term) || asked.includes(term)) return { start, end };
      const begun = asked.filter((prefix) => term.startsWith(prefix)).reduce((longest, { length }) => Math.max(longest, length), 0);
      return { start, end: begun === 0 ? end : Math.min(end, start + begun) };
    })
    .sort((a, b) => a.start - b.start);
  const joined: { start: number; end: number }[] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    if (last !== undefined && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else joined.push(span);
  }
  return joined;
}
