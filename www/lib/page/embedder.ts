// The embedder a page holds: checks options, copies inputs, and hands the call to the side that serves it.

import type { HostedInfo } from '../hosted/types.js';
import { EmbedderError } from '../errors.js';
import { copyInput } from '../inputs.js';
import type { Embedder, EmbedderInfo, EmbeddingOf, EncodeOptions, EncodeResult, Input, MemoryUse, SingleEncodeResult, Task } from '../types.js';
import type { Route } from './fallback.js';
import type { AnyEmbedding } from './sides.js';

const TASKS: readonly Task[] = ['retrieval.query', 'retrieval.passage', 'text-matching', 'code.query', 'code.passage'];
/** What only an engine of our own can honour. */
const LOCAL_ONLY = ['maxPixels', 'maxLength'] as const;

export class RoutedEmbedder implements Embedder<EmbedderInfo | HostedInfo> {
  readonly #route: Route;
  readonly #base: string | undefined;
  readonly #mayBeHosted: boolean;

  constructor(route: Route, base: string | undefined, mayBeHosted: boolean) {
    this.#route = route;
    this.#base = base;
    this.#mayBeHosted = mayBeHosted;
  }

  get info(): EmbedderInfo | HostedInfo {
    return this.#route.side.info;
  }

  encode<const O extends EncodeOptions>(input: Input, options: O): Promise<SingleEncodeResult<EmbeddingOf<O>>>;
  encode<const O extends EncodeOptions>(inputs: readonly Input[], options: O): Promise<EncodeResult<EmbeddingOf<O>>>;
  async encode(given: Input | readonly Input[], options: EncodeOptions): Promise<EncodeResult<AnyEmbedding>> {
    checkOptions(options, this.#mayBeHosted);
    const single = !Array.isArray(given);
    const inputs = single ? [given as Input] : (given as readonly Input[]);
    if (inputs.length === 0) throw new EmbedderError('INPUT_INVALID', 'the list of inputs is empty; it needs at least one');
    // Started before anything is awaited, so that what is copied is what was given.
    const copies = Promise.all(inputs.map((input) => copyInput(input, this.#base)));
    const result = await this.#route.encode({ copies, options, keepCopies: this.#route.mayChange });
    return single ? ({ ...result, embedding: result.embeddings[0] } as SingleEncodeResult<AnyEmbedding>) : result;
  }

  memory(): Promise<MemoryUse> {
    return this.#route.side.memory();
  }

  dispose(): Promise<void> {
    return this.#route.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Checks what the model need not be asked about. Fails with `INPUT_INVALID` naming the option. */
function checkOptions(options: EncodeOptions, mayBeHosted: boolean): void {
  const { task, onInputError } = (options ?? {}) as Partial<EncodeOptions>;
  if (task === undefined || !TASKS.includes(task)) {
    throw new EmbedderError('INPUT_INVALID', `option \`task\` must be one of ${TASKS.join(', ')}, not ${JSON.stringify(task)}`);
  }
  if (onInputError !== undefined && onInputError !== 'throw' && onInputError !== 'null') {
    throw new EmbedderError('INPUT_INVALID', `option \`onInputError\` must be "throw" or "null", not ${JSON.stringify(onInputError)}`);
  }
  const { dimensions, maxPixels, maxLength } = options;
  for (const [name, value] of Object.entries({ dimensions, maxPixels, maxLength })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new EmbedderError('INPUT_INVALID', `option \`${name}\` must be a whole number above 0, not ${String(value)}`);
    }
  }
  // Refused on both sides alike: whether a call works must not depend on the device it runs on.
  const unheeded = mayBeHosted ? LOCAL_ONLY.find((name) => options[name] !== undefined) : undefined;
  if (unheeded !== undefined) {
    throw new EmbedderError('INPUT_INVALID', `option \`${unheeded}\` is heeded in mode "only-local" alone: the hosted API has nothing like it`);
  }
  if (mayBeHosted && options.returnMultivector === true && dimensions !== undefined) {
    throw new EmbedderError('INPUT_INVALID', 'options `dimensions` and `returnMultivector` cannot be combined where the hosted API may serve the call');
  }
}
