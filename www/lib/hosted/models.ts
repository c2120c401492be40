// What each hosted model takes, as the API's description states it. An option that a model does not
// have is refused here, by name, instead of being ignored there.

import { EmbedderError } from '../errors.js';
import type { HostedEncodeOptions, HostedModel } from './types.js';

interface ModelRules {
  readonly tasks: readonly string[];
  /** What the server takes where no task is given; `undefined`: none. */
  readonly defaultTask: string | undefined;
  readonly maxDimensions: number;
  readonly images: boolean;
  readonly normalized: boolean;
  readonly lateChunking: boolean;
  readonly multivector: boolean;
  readonly pooling: string;
}

const CODE_TASKS = ['nl2code', 'qa', 'code2code', 'code2nl', 'code2completion'].flatMap((pair) => [`${pair}.query`, `${pair}.passage`]);
const CODE_MODEL = { tasks: CODE_TASKS, defaultTask: 'nl2code.query', images: false, normalized: false, lateChunking: false, multivector: false, pooling: 'last' };

const MODELS: Readonly<Record<HostedModel, ModelRules>> = {
  'jina-embeddings-v4': {
    tasks: ['text-matching', 'retrieval.query', 'retrieval.passage', 'code.query', 'code.passage'],
    defaultTask: 'text-matching', maxDimensions: 2048, images: true, normalized: false, lateChunking: true, multivector: true, pooling: 'mean',
  },
  'jina-embeddings-v3': {
    tasks: ['retrieval.query', 'retrieval.passage', 'text-matching', 'classification', 'separation'],
    defaultTask: undefined, maxDimensions: 1024, images: false, normalized: true, lateChunking: true, multivector: false, pooling: 'mean',
  },
  'jina-clip-v2': {
    tasks: ['retrieval.query'],
    defaultTask: undefined, maxDimensions: 1024, images: true, normalized: true, lateChunking: false, multivector: false, pooling: 'cls',
  },
  'jina-code-embeddings-0.5b': { ...CODE_MODEL, maxDimensions: 896 },
  'jina-code-embeddings-1.5b': { ...CODE_MODEL, maxDimensions: 1536 },
};

/** The rules of a model, or `undefined` for one that this client does not know. */
export function rulesOf(model: string): ModelRules | undefined {
  return Object.hasOwn(MODELS, model) ? MODELS[model as HostedModel] : undefined;
}

const EMBEDDING_TYPES: readonly unknown[] = ['float', 'base64', 'binary', 'ubinary'];
const FLAGS = ['normalized', 'truncate', 'lateChunking', 'returnMultivector', 'returnTokenizedInput'] as const;

/** Fails with `INPUT_INVALID` naming the option, what was needed and what was found. */
export function checkOptions(model: string, options: HostedEncodeOptions): void {
  const refuse = (option: string, needed: string): never => {
    const found: unknown = options[option as keyof HostedEncodeOptions];
    throw new EmbedderError('INPUT_INVALID', `option \`${option}\` ${needed}, not ${JSON.stringify(found) ?? String(found)}`);
  };
  const { task, dimensions, embeddingType, onInputError } = options;
  for (const flag of FLAGS) {
    if (options[flag] !== undefined && typeof options[flag] !== 'boolean') refuse(flag, 'must be true or false');
  }
  if (onInputError !== undefined && onInputError !== 'throw' && onInputError !== 'null') refuse('onInputError', 'must be "throw" or "null"');
  if (embeddingType !== undefined) {
    const types: readonly unknown[] = Array.isArray(embeddingType) ? embeddingType : [embeddingType];
    if (types.length === 0 || !types.every((type) => EMBEDDING_TYPES.includes(type))) refuse('embeddingType', 'must be "float", "base64", "binary", "ubinary" or a list of them');
  }
  const rules = rulesOf(model);
  if (dimensions !== undefined && !(Number.isSafeInteger(dimensions) && dimensions > 0 && dimensions <= (rules?.maxDimensions ?? Infinity))) {
    refuse('dimensions', rules === undefined ? 'must be a whole number above 0' : `must be a whole number from 1 to ${rules.maxDimensions} for ${model}`);
  }
  if (options.returnMultivector === true && dimensions !== undefined) refuse('dimensions', 'cannot be combined with `returnMultivector`: leave it out');
  if (options.returnTokenizedInput === true && options.returnMultivector !== true) refuse('returnTokenizedInput', 'needs `returnMultivector`');
  if (rules === undefined) return;
  if (task !== undefined && !rules.tasks.includes(task)) refuse('task', `must be one of ${rules.tasks.join(', ')} for ${model}`);
  if (options.lateChunking === true && !rules.lateChunking) refuse('lateChunking', `is not offered by ${model}: it must be false`);
  if (options.returnMultivector === true && !rules.multivector) refuse('returnMultivector', `is not offered by ${model}: it must be false`);
  if (options.normalized === false && !rules.normalized) refuse('normalized', `must be true for ${model}, whose vectors always have length 1`);
}

/**
 * Names the space of a call's vectors. Query and passage of one adapter share it, as they are meant to be
 * compared; packed bits are vectors of their own.
 */
export function hostedSpaceOf(weights: string, model: string, options: HostedEncodeOptions, dimensions: number): string {
  const rules = rulesOf(model);
  const adapter = (options.task ?? rules?.defaultTask ?? 'default').split('.')[0];
  const pooling = options.returnMultivector === true ? 'tokens' : (rules?.pooling ?? 'pooled');
  const { embeddingType } = options;
  const bits = embeddingType === 'binary' || embeddingType === 'ubinary' ? `/${embeddingType}` : '';
  return `${weights}/${adapter}/${pooling}${options.normalized === false ? '' : '-l2'}/${dimensions}${bits}`;
}
