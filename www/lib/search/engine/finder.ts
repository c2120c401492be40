// One search: rankings of passages by vector and by word, fused by their places, then each document once,
// by its best passage. The words are indexed when they are first asked for, and from then on kept in step.

import { EmbedderError } from '../../errors.js';
import { compileFilter } from '../filter.js';
import type { FaceFields, FaceIndex, FaceQuery, Filter as FaceFilter } from '../face.js';
import { reciprocalRankFusion, type Ranking } from '../fusion.js';
import { itemFields, itemId, readItem, TEXT, TITLE, type DocumentRecord } from '../records.js';
import type { Hit, TextSpan } from '../types.js';
import type { Guard } from './guard.js';
import { askedTerms, highlights, KeywordIndex, type KeywordHit } from './keyword.js';
import type { FindRequest } from './requests.js';

/** Passages that are ranked for each document wanted, at first; more where many are of the same document. */
const PASSAGES_PER_DOCUMENT = 4;
const MIN_PASSAGES = 32;
/** Items whose words are indexed between two looks at the queue, so that a search need not wait for all. */
const ITEMS_AT_ONCE = 200;

interface Ranked {
  readonly id: string;
  readonly score: number;
}

export class Finder {
  readonly #guard: Guard;
  readonly #keywordFields: readonly string[];
  #index: FaceIndex | undefined;
  #keywords: KeywordIndex | undefined;
  #building: Promise<void> | undefined;

  constructor(guard: Guard, keywordFields: readonly string[]) {
    this.#guard = guard;
    this.#keywordFields = keywordFields;
  }

  /** Another index, or the same read again. */
  reset(index: FaceIndex | undefined): void {
    this.#index = index;
    this.#keywords = undefined;
    this.#building = undefined;
  }

  /** Waits until no words are being indexed: a change in between would be missed. */
  async settled(): Promise<void> {
    await this.#building;
  }

  put(record: DocumentRecord): void {
    this.#keywords?.put(record.passages.map((_, i) => this.#words(itemId(record.id, i), itemFields(record, i))));
  }

  removed(items: readonly string[]): void {
    this.#keywords?.remove(items);
  }

  /** `undefined` where the index was replaced meanwhile, so that the search must be made again. */
  async find(index: FaceIndex, request: FindRequest): Promise<Hit[] | undefined> {
    const { mode, k, text = '' } = request;
    const filter = request.filter === undefined ? undefined : compileFilter(request.filter);
    const byVector = mode !== 'keyword' && (request.vector !== undefined || request.multivector !== undefined);
    const byWord = mode !== 'vector' && text.trim() !== '';
    if (byWord) await this.#indexWords(index);
    if (this.#index !== index) return undefined;
    const keywordHits = byWord ? (this.#keywords?.search(text, { prefix: request.prefix }) ?? []) : [];
    for (let pool = Math.max(MIN_PASSAGES, k * PASSAGES_PER_DOCUMENT); ; pool *= 4) {
      const vectors = byVector ? this.#byVector(index, request, pool, filter) : [];
      const words = byWord ? this.#letThrough(index, keywordHits, pool, filter) : [];
      const rankings: Ranking<string>[] = [];
      if (byVector) rankings.push({ keys: vectors.map(({ id }) => id), weight: request.weights.vector });
      if (byWord) rankings.push({ keys: words.map(({ id }) => id), weight: request.weights.keyword });
      const scores = { vector: byId(vectors), keyword: byId(words) };
      const ranked = rankings.length === 2 ? reciprocalRankFusion(rankings).map(({ key, score }) => ({ id: key, score })) : byVector ? vectors : words;
      const best = bestOfEachDocument(ranked);
      if (best.length < k && (vectors.length >= pool || words.length >= pool)) continue;
      const hits = best.slice(0, k);
      if (mode === 'hybrid' && byVector) this.#addScores(index, request, hits, scores.vector);
      const matched = new Map(words.map((hit) => [hit.id, hit.terms]));
      const asked = byWord ? askedTerms(text).map(({ term }) => term) : [];
      return hits.map((hit) => this.#hit(index, hit, scores, (shown) => highlights(shown, new Set(matched.get(hit.id)), asked)));
    }
  }

  #byVector(index: FaceIndex, request: FindRequest, k: number, filter: FaceFilter | undefined): Ranked[] {
    const query: FaceQuery = {
      k,
      fields: false,
      ...(request.vector === undefined ? {} : { vector: request.vector, ...(request.space === undefined ? {} : { space: request.space }) }),
      ...(request.multivector === undefined ? {} : { multivector: request.multivector, ...(request.multivectorSpace === undefined ? {} : { multivectorSpace: request.multivectorSpace }) }),
      ...(filter === undefined ? {} : { filter }),
      ...(request.exact ? { exact: true } : {}),
      // What is handed on bounds what comes back.
      ...(request.candidates === undefined ? {} : { candidates: Math.max(request.candidates, k) }),
    };
    return this.#guard.call(() => index.search(query)).map(({ id, score }) => ({ id, score }));
  }

  /** The first `n` that the filter lets through, which is asked about block by block. */
  #letThrough(index: FaceIndex, hits: readonly KeywordHit[], n: number, filter: FaceFilter | undefined): KeywordHit[] {
    if (filter === undefined) return hits.slice(0, n);
    const passed: KeywordHit[] = [];
    for (let at = 0; at < hits.length && passed.length < n; at += n) {
      const block = hits.slice(at, at + n);
      const ids = block.map(({ id }) => id);
      const allowed = new Set(this.#guard.call(() => index.find({ and: [{ ids }, filter] }, 0, ids.length)).map(({ id }) => id));
      passed.push(...block.filter(({ id }) => allowed.has(id)));
    }
    return passed.slice(0, n);
  }

  /** The similarity of those that only their words found. */
  #addScores(index: FaceIndex, request: FindRequest, hits: readonly Ranked[], scores: Map<string, number>): void {
    const ids = hits.map(({ id }) => id).filter((id) => !scores.has(id));
    if (ids.length === 0) return;
    const found = this.#byVector(index, { ...request, exact: true, candidates: undefined }, ids.length, { ids });
    for (const { id, score } of found) scores.set(id, score);
  }

  #hit(index: FaceIndex, { id, score }: Ranked, scores: { vector: Map<string, number>; keyword: Map<string, number> }, mark: (text: string) => TextSpan[]): Hit {
    const item = this.#guard.call(() => index.get(id));
    if (item === undefined) throw new EmbedderError('INTERNAL', `The search found "${id}", which the index lacks`);
    const { document, index: passage, kind, title, text, start, end, fields } = readItem(item);
    const vector = scores.vector.get(id);
    const keyword = scores.keyword.get(id);
    return {
      id: document,
      kind,
      ...(title === undefined ? {} : { title }),
      fields,
      score,
      passage: { index: passage, text, start, end, highlights: mark(text) },
      titleHighlights: title === undefined ? [] : mark(title),
      scores: { ...(vector === undefined ? {} : { vector }), ...(keyword === undefined ? {} : { keyword }) },
    };
  }

  async #indexWords(index: FaceIndex): Promise<void> {
    if (this.#keywords !== undefined) return;
    await (this.#building ??= this.#build(index));
  }

  async #build(index: FaceIndex): Promise<void> {
    const keywords = new KeywordIndex();
    for (let offset = 0; ; offset += ITEMS_AT_ONCE) {
      const items = this.#guard.call(() => index.find(undefined, offset, ITEMS_AT_ONCE));
      keywords.put(items.map(({ id, fields }) => this.#words(id, fields)));
      if (items.length < ITEMS_AT_ONCE) break;
      await new Promise((resolve) => setTimeout(resolve));
      if (this.#index !== index) return;
    }
    this.#keywords = keywords;
    this.#building = undefined;
  }

  #words(id: string, fields: FaceFields): { id: string; title: string; text: string; more: string } {
    const string = (name: string): string => {
      const value = fields[name];
      return value === undefined ? '' : Array.isArray(value) ? value.join(' ') : String(value);
    };
    return {
      id,
      // A document's title is found once, by its first passage.
      title: id.endsWith('#0') ? string(TITLE) : '',
      text: string(TEXT),
      more: id.endsWith('#0') ? this.#keywordFields.map(string).join(' ') : '',
    };
  }
}

function byId(ranked: readonly Ranked[]): Map<string, number> {
  return new Map(ranked.map(({ id, score }) => [id, score]));
}

function bestOfEachDocument(ranked: readonly Ranked[]): Ranked[] {
  const seen = new Set<string>();
  return ranked.filter(({ id }) => {
    const document = id.slice(0, id.lastIndexOf('#'));
    if (seen.has(document)) return false;
    seen.add(document);
    return true;
  });
}
