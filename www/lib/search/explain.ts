// How well each word of a query fits each token of a passage, for heat maps over pictures.
//
// The tokens of a word are found by embedding the query's beginnings, word by word: a beginning that ends
// with a word has exactly the tokens of all words so far, and the last beginning is the whole query. Where
// a picture's patches lie among its tokens is found by embedding what the model reads around them.

import { EmbedderError } from '../errors.js';
import type { Input, MultiVector } from '../types.js';
import type { ExplainRequest } from './engine/requests.js';
import type { ModelLimits } from './model-limits.js';
import { wordsAndGaps } from './text.js';
import type { ExplainOptions, Explanation } from './types.js';

export interface ExplainTools {
  encodeTokens(side: 'query' | 'passage', inputs: readonly Input[], signal: AbortSignal | undefined): Promise<{ embeddings: readonly MultiVector[]; space: string }>;
  explain(request: ExplainRequest): Promise<{ rows: number; values: Float32Array; grid: PictureGrid | undefined } | undefined>;
  grid(image: NonNullable<ExplainRequest['image']>): Promise<PictureGrid>;
  readonly limits: ModelLimits;
}

type PictureGrid = { rows: number; columns: number };

/** What the model reads before a picture's patches (`src/text/prompt.rs`). */
const BEFORE_PICTURE = '<|im_start|>user\n<|vision_start|>';
/**
 * One token, to tell how many the prefix of a text, such as `Query: `, has. Before it the prefix's space is a
 * token of its own; before a word it is part of the word's first one.
 */
const ONE_TOKEN = '<|im_start|>';
/** Words of one query; each is one more text to embed. */
const MAX_WORDS = 32;

/** Fails with `INPUT_INVALID` where the index has no such passage or keeps no multi-vectors of it. */
export async function explain(id: string, query: string, options: ExplainOptions, tools: ExplainTools): Promise<Explanation> {
  const words = wordsAndGaps(query).filter(({ isWord }) => isWord).slice(0, MAX_WORDS);
  if (words.length === 0) throw new EmbedderError('INPUT_INVALID', 'the query has no words to explain');
  const { imageSize, passage = 0, signal } = options;
  const beginnings: Input[] = words.map(({ end }) => ({ text: query.slice(0, end) }));
  const frame: Input[] = [{ text: ONE_TOKEN }, ...(imageSize === undefined ? [] : [{ text: BEFORE_PICTURE }])];
  const { embeddings, space } = await tools.encodeTokens('query', [...beginnings, ...frame], signal);
  const whole = embeddings[words.length - 1];
  if (whole === undefined) throw new EmbedderError('INTERNAL', 'the embedder gave fewer vectors than it was given texts');
  const { minPixels, maxPixels } = tools.limits;
  const image = imageSize === undefined ? undefined : { ...imageSize, ...(minPixels === undefined ? {} : { minPixels }), ...(maxPixels === undefined ? {} : { maxPixels }) };
  const found =
    options.content === undefined
      ? await tools.explain({ document: id, passage, multivector: whole.values, multivectorSpace: space, image })
      : { ...(await compared(whole, space, options.content, tools, signal)), grid: image === undefined ? undefined : await tools.grid(image) };
  if (found === undefined) throw new EmbedderError('INPUT_INVALID', `the index keeps no multi-vectors of passage ${passage} of "${id}"`, { data: { id, passage } });

  const { rows, values, grid } = found;
  const lengths = embeddings.map((tokens) => tokens.rows);
  const prefix = (lengths[words.length] ?? 2) - 1;
  let from = prefix - 1;
  const scored = words.map(({ start, end }, i) => {
    const to = Math.max(lengths[i] ?? from, from);
    const scores = new Float32Array(rows);
    for (let token = from; token < to; token++) {
      for (let row = 0; row < rows; row++) scores[row] = (scores[row] ?? 0) + (values[token * rows + row] ?? 0) / (to - from);
    }
    from = to;
    return { text: query.slice(start, end), scores };
  });
  const first = (lengths[words.length + 1] ?? 0) - prefix;
  const fits = grid !== undefined && first > 0 && first + grid.rows * grid.columns < rows;
  return { words: scored, ...(fits ? { grid: { rows: grid.rows, columns: grid.columns, first } } : {}) };
}

/** Similarity of each query token to each of the document's, `[n_query_tokens, rows]`. Their vectors have length one. */
async function compared(query: MultiVector, space: string, content: Input, tools: ExplainTools, signal: AbortSignal | undefined): Promise<{ rows: number; values: Float32Array }> {
  const { embeddings, space: found } = await tools.encodeTokens('passage', [content], signal);
  const document = embeddings[0];
  if (document === undefined || found !== space) throw new EmbedderError('SPACE_MISMATCH', `needed vectors of the space "${space}", found "${found}"`, { data: { needed: space, found } });
  const values = new Float32Array(query.rows * document.rows);
  for (let token = 0; token < query.rows; token++) {
    const asked = query.row(token);
    for (let row = 0; row < document.rows; row++) {
      const other = document.row(row);
      let dot = 0;
      for (let i = 0; i < asked.length; i++) dot += (asked[i] ?? 0) * (other[i] ?? 0);
      values[token * document.rows + row] = dot;
    }
  }
  return { rows: document.rows, values };
}
