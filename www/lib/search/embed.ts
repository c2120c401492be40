// Prepared documents ─► records with vectors. Passages of several documents are embedded in one call; a
// document with a passage that cannot be embedded fails as a whole, and alone.

import { EmbedderError, isAbortError } from '../errors.js';
import type { EncodeOptions, Input, MultiVector } from '../types.js';
import { modelLimits } from './model-limits.js';
import { estimateTokens } from './text.js';
import type { Prepared, Recipe } from './prepare.js';
import type { DocumentRecord } from './records.js';
import type { SearchEmbedder, TokenVectors } from './types.js';

export interface Embedded {
  readonly records: readonly DocumentRecord[];
  readonly failed: readonly { readonly id: string; readonly error: Error }[];
  readonly space: string | undefined;
  readonly multivectorSpace: string | undefined;
}

export interface EmbedHooks {
  readonly signal: AbortSignal;
  /** Passages of one call to the embedder. */
  readonly batchSize: number;
  /** Awaited between two calls. */
  readonly between: () => Promise<void>;
  /** Told how many passages were embedded. */
  readonly onEmbedded: (n: number) => void;
}

/** The share of the model's longest text that late chunking fills: token counts are estimates. */
const LATE_WINDOW_SHARE = 0.6;
const MAX_TOKENS = 32_768;

interface Vectors {
  readonly values: Map<Input, Float32Array>;
  readonly tokens: Map<Input, MultiVector>;
  readonly errors: Map<Input, Error>;
  space: string | undefined;
  multivectorSpace: string | undefined;
}

/** Rejects with an `AbortError`, or with an error that is about the embedder and no document. */
export async function embed(documents: readonly Prepared[], embedder: SearchEmbedder | undefined, recipe: Recipe, hooks: EmbedHooks): Promise<Embedded> {
  const vectors: Vectors = { values: new Map(), tokens: new Map(), errors: new Map(), space: undefined, multivectorSpace: undefined };
  const inputsOf = ({ source }: Prepared): readonly Input[] => ('inputs' in source ? source.inputs : []);
  const late = recipe.lateChunking ? documents.filter(({ kind, passages }) => kind === 'text' && passages.length > 1) : [];
  const apart = documents.filter((document) => !late.includes(document)).flatMap(inputsOf);
  if (apart.length > 0 || late.length > 0) {
    if (embedder === undefined) throw new EmbedderError('INPUT_INVALID', 'The index has no embedder: give `embedder` to `createIndex`, or documents with `passages` that are embedded already');
    for (let i = 0; i < apart.length; i += hooks.batchSize) await encode(embedder, apart.slice(i, i + hooks.batchSize), recipe, false, vectors, hooks);
    for (const document of late) {
      for (const window of windows(inputsOf(document), embedder)) {
        if (inputsOf(document).some((input) => vectors.errors.has(input))) break;
        await encode(embedder, window, recipe, true, vectors, hooks);
      }
    }
  }
  const records: DocumentRecord[] = [];
  const failed: { id: string; error: Error }[] = [];
  for (const document of documents) {
    const inputs = inputsOf(document);
    const bad = inputs.findIndex((input) => vectors.errors.has(input));
    const cause = bad < 0 ? undefined : vectors.errors.get(inputs[bad] as Input);
    if (cause !== undefined) {
      failed.push({ id: document.id, error: aboutDocument(document.id, bad, cause) });
      continue;
    }
    const { source, id, kind, title, fields, contentHash, detailsHash, passages } = document;
    const own = 'inputs' in source ? undefined : source;
    const ownTokens = recipe.multivector ? inputs.map((input) => vectors.tokens.get(input) ?? null) : undefined;
    const tokensOf: readonly (TokenVectors | null)[] | undefined = own === undefined ? ownTokens : own.multivectors;
    records.push({
      id, kind, title, fields, contentHash, detailsHash, passages,
      vectors: own === undefined ? inputs.map((input) => vectors.values.get(input) as Float32Array) : own.vectors,
      multivectors: tokensOf?.map((tokens) => tokens?.values ?? null),
      tokenDimensions: tokensOf?.find((tokens) => tokens !== null)?.dimensions,
    });
  }
  const given = documents.flatMap(({ source }) => ('inputs' in source ? [] : [source]));
  return {
    records, failed,
    space: oneOf([vectors.space, ...given.map(({ space }) => space)]),
    multivectorSpace: oneOf([vectors.multivectorSpace, ...given.map(({ multivectorSpace }) => multivectorSpace)]),
  };
}

async function encode(embedder: SearchEmbedder, inputs: readonly Input[], recipe: Recipe, lateChunking: boolean, into: Vectors, hooks: EmbedHooks): Promise<void> {
  await hooks.between();
  const task = (recipe.task === 'text-matching' ? recipe.task : `${recipe.task}.passage`) as EncodeOptions['task'];
  const common = { task, signal: hooks.signal };
  const notes = (errors: readonly { readonly index: number; readonly code: EmbedderError['code']; readonly message: string }[]): void => {
    for (const { index, code, message } of errors) into.errors.set(inputs[index] as Input, new EmbedderError(code, message));
  };
  try {
    const single = await embedder.encode(inputs, {
      ...common,
      ...(recipe.dimensions === undefined ? {} : { dimensions: recipe.dimensions }),
      ...(lateChunking ? { lateChunking: true } : { onInputError: 'null' as const }),
    });
    notes(single.errors);
    single.embeddings.forEach((vector, i) => vector !== null && into.values.set(inputs[i] as Input, vector as Float32Array));
    into.space = oneOf([into.space, single.space]);
    if (recipe.multivector) {
      const multi = await embedder.encode(inputs, { ...common, returnMultivector: true, onInputError: 'null' });
      notes(multi.errors);
      multi.embeddings.forEach((tokens, i) => tokens !== null && into.tokens.set(inputs[i] as Input, tokens));
      into.multivectorSpace = oneOf([into.multivectorSpace, multi.space]);
    }
  } catch (error) {
    const about = (error as { code?: unknown; inputs?: readonly unknown[] } | null) ?? {};
    if (isAbortError(error) || about.code !== 'INPUT_INVALID' || !lateChunking) throw error;
    for (const input of inputs) into.errors.set(input, error as Error);
  }
  hooks.onEmbedded(inputs.length);
}

/** As many neighbours as the model reads as one text. */
function windows(inputs: readonly Input[], embedder: SearchEmbedder): Input[][] {
  const room = (modelLimits(embedder).maxTokens ?? MAX_TOKENS) * LATE_WINDOW_SHARE;
  const found: Input[][] = [];
  let n = Infinity;
  for (const input of inputs) {
    const tokens = estimateTokens((input as { text: string }).text);
    if (n + tokens > room) {
      found.push([]);
      n = 0;
    }
    found.at(-1)?.push(input);
    n += tokens;
  }
  return found;
}

/** What is in one batch is of one space. Fails with `SPACE_MISMATCH`, also where an embedder changed sides within the batch. */
function oneOf(spaces: readonly (string | undefined)[]): string | undefined {
  const [first, other] = [...new Set(spaces.filter((space) => space !== undefined))];
  if (other !== undefined) {
    throw new EmbedderError('SPACE_MISMATCH', `The vectors of one call lie in two spaces, "${first}" and "${other}", and cannot be compared`, { data: { needed: first, found: other } });
  }
  return first;
}

function aboutDocument(id: string, passage: number, cause: Error): EmbedderError {
  const code = (cause as Partial<EmbedderError>).code ?? 'INPUT_INVALID';
  return new EmbedderError(code, `document "${id}", passage ${passage}: ${cause.message}`, { cause, data: { id, passage } });
}
