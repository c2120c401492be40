// A document's text cut into passages: whole sentences, as many as fit, each passage beginning with the
// last sentences of the one before it, so that what stands at a cut is found from both sides.

import { estimateTokens, graphemes, sentences, wordsAndGaps, type Span } from './text.js';

export interface PassageOptions {
  /** The most tokens of a passage. Default: 256. */
  readonly maxTokens?: number | undefined;
  /** About how many tokens at the end of a passage stand at the start of the next one again. Default: 32. */
  readonly overlapTokens?: number | undefined;
  /** Language of the text, where it is known, such as `ja`: some cut sentences by rules of their own. */
  readonly locale?: string | undefined;
  /** Counts tokens. Default: {@link estimateTokens}. */
  readonly countTokens?: ((text: string) => number) | undefined;
}

export interface Passage extends Span {
  readonly text: string;
}

export const DEFAULT_MAX_TOKENS = 256;
export const DEFAULT_OVERLAP_TOKENS = 32;

/**
 * The passages of `text`, in order, white space at their ends left out. `start` and `end` are where they
 * lie in it. A sentence longer than a passage is cut between words, a longer word between characters. A
 * blank text has none.
 *
 * - `breaks`: offsets that no passage crosses, such as headings, ascending
 */
export function splitPassages(text: string, options: PassageOptions = {}, breaks: readonly number[] = []): Passage[] {
  const { locale, countTokens = estimateTokens } = options;
  const max = Math.max(1, options.maxTokens ?? DEFAULT_MAX_TOKENS);
  const overlap = Math.max(0, Math.min(options.overlapTokens ?? DEFAULT_OVERLAP_TOKENS, max - 1));
  const count = (span: Span): number => countTokens(text.slice(span.start, span.end));
  const passages: Passage[] = [];
  const edges = [0, ...breaks.filter((at) => at > 0 && at < text.length), text.length];
  for (let i = 0; i + 1 < edges.length; i++) {
    const start = edges[i] ?? 0;
    const units = sentences(text.slice(start, edges[i + 1]), locale)
      .map((span) => ({ start: span.start + start, end: span.end + start }))
      .flatMap((span) => fit(text, span, max, count, locale));
    for (const span of pack(units, max, overlap, count)) {
      const passage = trimmed(text, span);
      if (passage.end > passage.start) passages.push({ ...passage, text: text.slice(passage.start, passage.end) });
    }
  }
  return passages;
}

type Counted = Span & { readonly n: number };

/** The span itself where it is small enough, or the words, or the characters that it is made of. */
function fit(text: string, span: Span, max: number, count: (span: Span) => number, locale: string | undefined): Counted[] {
  const n = count(span);
  if (n <= max) return [{ ...span, n }];
  const shifted = (parts: Span[]): Span[] => parts.map((part) => ({ start: part.start + span.start, end: part.end + span.start }));
  const slice = text.slice(span.start, span.end);
  let parts = shifted(wordsWithGaps(slice, locale));
  if (parts.length < 2) parts = shifted(graphemes(slice, locale));
  if (parts.length < 2) return [{ ...span, n }];
  return parts.flatMap((part) => fit(text, part, max, count, locale));
}

/** Words, each with what follows it up to the next one, so that no passage begins with a full stop. */
function wordsWithGaps(text: string, locale: string | undefined): Span[] {
  const joined: { start: number; end: number }[] = [];
  for (const { start, end, isWord } of wordsAndGaps(text, locale)) {
    const last = joined.at(-1);
    if (isWord || last === undefined) joined.push({ start, end });
    else last.end = end;
  }
  return joined;
}

/** Joins neighbours while they fit. What the next one repeats is whole units, and never all of them. */
function pack(units: readonly Counted[], max: number, overlap: number, count: (span: Span) => number): Span[] {
  const packed: Span[] = [];
  let first = 0;
  /** The last unit of the passage before: each passage goes beyond it. */
  let packedTo = -1;
  while (first < units.length) {
    let last = first;
    const span = (): Span => ({ start: units[first]?.start ?? 0, end: units[last]?.end ?? 0 });
    let n = units[first]?.n ?? 0;
    while (last + 1 < units.length && n + (units[last + 1]?.n ?? 0) <= max) n += units[++last]?.n ?? 0;
    // Counts of parts only bound the count of the whole: a tokeniser joins across them.
    while (last > Math.max(first, packedTo + 1) && count(span()) > max) last--;
    packed.push(span());
    packedTo = last;
    if (last + 1 >= units.length) break;
    let next = last + 1;
    const room = Math.min(overlap, max - (units[next]?.n ?? 0));
    for (let repeated = 0; next - 1 > first; next--) {
      repeated += units[next - 1]?.n ?? 0;
      if (repeated > room) break;
    }
    first = next;
  }
  return packed;
}

function trimmed(text: string, { start, end }: Span): Span {
  while (start < end && /\s/u.test(text[start] ?? '')) start++;
  while (end > start && /\s/u.test(text[end - 1] ?? '')) end--;
  return { start, end };
}
