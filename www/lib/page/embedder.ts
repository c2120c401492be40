// The embedder a page holds: checks options, copies inputs, and shapes what the engine answers.

import { EmbedderError } from '../errors.js';
import { copyInput, transferablesOf } from '../inputs.js';
import type { Embedder, EmbedderInfo, EmbeddingOf, EncodeOptions, EncodeResult, Input, MemoryUse, MultiVector, SingleEncodeResult, Task } from '../types.js';
import type { EncodeReply } from '../worker/protocol.js';
import type { WasmEncodeOptions } from '../wasm-face.js';
import { RowMajorVectors, spaceOf } from '../vectors.js';
import type { Client } from './client.js';

const TASKS: readonly Task[] = ['retrieval.query', 'retrieval.passage', 'text-matching', 'code.query', 'code.passage'];

type AnyEmbedding = Float32Array | MultiVector | null;

export class LocalEmbedder implements Embedder {
  readonly info: EmbedderInfo;
  readonly #client: Client;
  readonly #base: string | undefined;
  /** Settles when the last call's request was sent: copying pixels takes time, and calls keep their order. */
  #lastSent: Promise<void> = Promise.resolve();

  constructor(client: Client, info: EmbedderInfo, base: string | undefined) {
    this.#client = client;
    this.info = info;
    this.#base = base;
  }

  encode<const O extends EncodeOptions>(input: Input, options: O): Promise<SingleEncodeResult<EmbeddingOf<O>>>;
  encode<const O extends EncodeOptions>(inputs: readonly Input[], options: O): Promise<EncodeResult<EmbeddingOf<O>>>;
  async encode(given: Input | readonly Input[], options: EncodeOptions): Promise<EncodeResult<AnyEmbedding>> {
    const wasmOptions = checkOptions(options);
    const single = !Array.isArray(given);
    const inputs = single ? [given as Input] : (given as readonly Input[]);
    if (inputs.length === 0) throw new EmbedderError('INPUT_INVALID', 'the list of inputs is empty; it needs at least one');
    // Started before anything is awaited, so that what is copied is what was given.
    const copies = Promise.all(inputs.map((input) => copyInput(input, this.#base)));
    const sent = this.#lastSent.then(async () => {
      const wireInputs = await copies;
      const request = { inputs: wireInputs, options: wasmOptions, onInputError: options.onInputError ?? 'throw' } as const;
      const hooks = { signal: options.signal, onProgress: options.onProgress, transfer: transferablesOf(wireInputs) };
      // In an object, since a bare promise would be waited for here.
      return { reply: this.#client.request({ type: 'encode', request }, hooks) as Promise<EncodeReply> };
    });
    this.#lastSent = sent.then(() => undefined, () => undefined);
    return this.#shape(await (await sent).reply, options, single);
  }

  #shape(reply: EncodeReply, options: EncodeOptions, single: boolean): EncodeResult<AnyEmbedding> {
    const { dimensions, errors, tokens, images, timings } = reply;
    const embeddings = reply.items.map((item): AnyEmbedding => {
      if (item === null) return null;
      return options.returnMultivector === true ? new RowMajorVectors(item.values, item.rows, dimensions) : item.values;
    });
    const result: EncodeResult<AnyEmbedding> = {
      embeddings,
      dimensions,
      space: spaceOf(this.info.space, options, dimensions),
      source: 'local',
      device: this.info.device,
      usage: { tokens, images },
      errors,
      timings,
    };
    return single ? ({ ...result, embedding: embeddings[0] } as SingleEncodeResult<AnyEmbedding>) : result;
  }

  memory(): Promise<MemoryUse> {
    return this.#client.request({ type: 'memory' }) as Promise<MemoryUse>;
  }

  dispose(): Promise<void> {
    return this.#client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Checks what the model need not be asked about. Fails with `INPUT_INVALID` naming the option. */
function checkOptions(options: EncodeOptions): WasmEncodeOptions {
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
  return {
    task,
    multivector: options.returnMultivector === true,
    lateChunking: options.lateChunking === true,
    ...(dimensions === undefined ? {} : { dimensions }),
    ...(maxPixels === undefined ? {} : { maxPixels }),
    ...(maxLength === undefined ? {} : { maxLength }),
  };
}
