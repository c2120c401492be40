// The hosted embedder: options and inputs checked, batches sent side by side, replies put in order.

import { abortError, EmbedderError, isAbortError, isEmbedderError, reasonOf, type InputError } from '../errors.js';
import { pageAddress } from '../page-address.js';
import { Batches, type Batch } from './batches.js';
import { copyHostedInput, problemOf, writeDocument, type HostedWire } from './documents.js';
import { checkOptions, hostedSpaceOf } from './models.js';
import { readReply, wireTypeOf, type ReadReply } from './reply.js';
import { readSettings, type Settings } from './settings.js';
import { realClock, Transport, type Clock } from './transport.js';
import type { HostedEmbedder, HostedEmbeddingOf, HostedEncodeOptions, HostedInfo, HostedInput, HostedOptions, HostedResult, HostedSingleResult } from './types.js';

/** Statuses that speak of the inputs, so that a smaller request may succeed. */
const ABOUT_INPUTS: readonly unknown[] = [400, 413, 422];

export class HostedClient implements HostedEmbedder {
  readonly info: HostedInfo;
  readonly #settings: Settings;
  readonly #transport: Transport;
  readonly #base: string | undefined;
  readonly #disposed = new AbortController();

  constructor(options: HostedOptions, clock: Clock = realClock) {
    this.#base = pageAddress();
    this.#settings = readSettings(options, this.#base);
    const { model, space, shownURL } = this.#settings;
    this.info = { source: 'hosted', model: { name: model }, baseURL: shownURL, space };
    this.#transport = new Transport(this.#settings.transport, clock);
  }

  encode(input: HostedInput): Promise<HostedSingleResult>;
  encode<const O extends HostedEncodeOptions>(input: HostedInput, options: O): Promise<HostedSingleResult<HostedEmbeddingOf<O>>>;
  encode(inputs: readonly HostedInput[]): Promise<HostedResult>;
  encode<const O extends HostedEncodeOptions>(inputs: readonly HostedInput[], options: O): Promise<HostedResult<HostedEmbeddingOf<O>>>;
  async encode(given: HostedInput | readonly HostedInput[], options: HostedEncodeOptions = {}): Promise<HostedResult<unknown>> {
    checkOptions(this.#settings.model, options);
    const inputs = Array.isArray(given) ? (given as readonly HostedInput[]) : [given as HostedInput];
    if (inputs.length === 0) throw new EmbedderError('INPUT_INVALID', 'the list of inputs is empty; it needs at least one');
    const result = await this.encodeCopies(await Promise.all(inputs.map((input) => copyHostedInput(input, this.#base))), options);
    return Array.isArray(given) ? result : ({ ...result, embedding: result.embeddings[0] } as HostedSingleResult<unknown>);
  }

  /** Encodes inputs that were copied and options that were checked. The copies stay whole. */
  async encodeCopies(wires: readonly HostedWire[], options: HostedEncodeOptions): Promise<HostedResult<unknown>> {
    checkOptions(this.#settings.model, options);
    if (options.signal?.aborted) throw abortError(options.signal);
    if (this.#disposed.signal.aborted) throw disposed();
    const controller = new AbortController();
    const stop = (): void => controller.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', stop, { once: true });
    this.#disposed.signal.addEventListener('abort', stop, { once: true });
    try {
      return await new Call(this.#settings, this.#transport, this.#base, wires, options, controller).run();
    } catch (error) {
      if (options.signal?.aborted) throw abortError(options.signal);
      throw this.#disposed.signal.aborted && isAbortError(error) ? disposed() : error;
    } finally {
      options.signal?.removeEventListener('abort', stop);
      this.#disposed.signal.removeEventListener('abort', stop);
    }
  }

  async dispose(): Promise<void> {
    this.#disposed.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function disposed(): EmbedderError {
  return new EmbedderError('DISPOSED', 'The embedder was disposed of');
}

/** One call of `encode`: its batches, and what has come back so far. */
class Call {
  readonly #settings: Settings;
  readonly #transport: Transport;
  readonly #base: string | undefined;
  readonly #wires: readonly HostedWire[];
  readonly #options: HostedEncodeOptions;
  readonly #controller: AbortController;
  readonly #keepsBad: boolean;
  readonly #isPdf: boolean;
  readonly #embeddings: unknown[];
  readonly #tokenized: (readonly string[] | null)[];
  readonly #errors: InputError[] = [];
  readonly #usage = { tokens: 0, promptTokens: 0, images: 0, requests: 0 };
  readonly #start = performance.now();
  #writingMs = 0;
  #done = 0;
  #dimensions = 0;
  #model: string | undefined;

  constructor(settings: Settings, transport: Transport, base: string | undefined, wires: readonly HostedWire[], options: HostedEncodeOptions, controller: AbortController) {
    this.#settings = settings;
    this.#transport = transport;
    this.#base = base;
    this.#wires = wires;
    this.#options = options;
    this.#controller = controller;
    // Late chunking reads the texts as one document: without one of them the others would mean something else.
    this.#keepsBad = options.onInputError === 'null' && options.lateChunking !== true;
    this.#isPdf = wires.some((wire) => 'pdf' in wire);
    this.#embeddings = wires.map(() => null);
    this.#tokenized = wires.map(() => null);
  }

  async run(): Promise<HostedResult<unknown>> {
    const good = this.#check();
    const { batchSize, batchBytes, concurrency } = this.#settings;
    const whole = this.#options.lateChunking === true;
    const limits = whole ? { inputs: Infinity, bytes: Infinity } : { inputs: batchSize, bytes: batchBytes };
    const batches = new Batches(good, (index) => this.#write(index), limits);
    const work = async (): Promise<void> => {
      for (let batch = await batches.next(); batch !== undefined; batch = await batches.next()) await this.#send(batch);
    };
    const workers = Array.from({ length: Math.min(concurrency, good.length) }, async () => {
      try {
        await work();
      } catch (error) {
        // The first failure is the call's; the other requests end with it.
        this.#controller.abort();
        throw error;
      }
    });
    const failed = (await Promise.allSettled(workers)).filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
    if (failed.length > 0) throw failed.find((error) => !isAbortError(error)) ?? failed[0];
    return this.#result();
  }

  /** The places of the inputs to send. Fails with `INPUT_INVALID` listing all that are bad, before anything is sent. */
  #check(): number[] {
    const { model } = this.#settings;
    const good: number[] = [];
    this.#wires.forEach((wire, index) => {
      const problem = this.#options.lateChunking === true && !('text' in wire) && !('invalid' in wire) ? 'late chunking takes texts only' : problemOf(wire, model);
      if (problem === undefined) good.push(index);
      else this.#errors.push({ index, code: 'INPUT_INVALID', message: problem });
    });
    if (this.#errors.length > 0 && !this.#keepsBad) throw inputsError(this.#errors, this.#wires.length);
    if (this.#isPdf && this.#wires.length > 1) throw new EmbedderError('INPUT_INVALID', `a PDF must be the only input of its call, this one has ${this.#wires.length}`);
    const limit = this.#settings.maxInputs;
    if (this.#options.lateChunking === true && good.length > limit) throw new EmbedderError('INPUT_INVALID', `late chunking needs all texts in one request of at most ${limit}, found ${good.length}`);
    return good;
  }

  async #write(index: number): Promise<string | undefined> {
    const start = performance.now();
    try {
      return await writeDocument(this.#wires[index] as HostedWire, this.#base, this.#controller.signal);
    } catch (error) {
      if (isAbortError(error)) throw error;
      const bad: InputError = { index, code: isEmbedderError(error) ? error.code : 'INPUT_INVALID', message: reasonOf(error) };
      if (!this.#keepsBad) throw inputsError([bad], this.#wires.length);
      this.#leaveOut(bad);
      return undefined;
    } finally {
      this.#writingMs += performance.now() - start;
    }
  }

  async #send(batch: Batch): Promise<void> {
    const { documents, indices } = batch;
    try {
      const { body, requestId } = await this.#transport.post(this.#body(documents), this.#controller.signal);
      this.#take(readReply(body, this.#isPdf ? undefined : documents.length, this.#options, requestId), indices);
    } catch (error) {
      if (!this.#keepsBad || !isEmbedderError(error) || error.code !== 'HOSTED_REJECTED' || !ABOUT_INPUTS.includes(error.data['status'])) throw error;
      const [index] = indices as [number];
      if (indices.length === 1) return this.#leaveOut({ index, code: error.code, message: error.message });
      const half = indices.length >> 1;
      await this.#send({ indices: indices.slice(0, half), documents: documents.slice(0, half) });
      await this.#send({ indices: indices.slice(half), documents: documents.slice(half) });
    }
  }

  #body(documents: readonly string[]): string {
    const { task, dimensions, normalized, truncate, lateChunking, returnMultivector, returnTokenizedInput } = this.#options;
    const { model } = this.#settings;
    const fields = {
      model,
      task,
      dimensions,
      embedding_type: wireTypeOf(this.#options),
      // v4 and the code models know no `normalized`, since they always normalise.
      normalized: normalized === false || model.startsWith('jina-clip') || model === 'jina-embeddings-v3' ? normalized : undefined,
      truncate,
      late_chunking: lateChunking,
      return_multivector: returnMultivector,
      return_tokenized_input: returnTokenizedInput,
    };
    const input = this.#isPdf ? documents[0] : `[${documents.join(',')}]`;
    return `${JSON.stringify(fields).slice(0, -1)},"input":${input}}`;
  }

  #take(reply: ReadReply, indices: readonly number[]): void {
    const mixed = (what: string, here: unknown, before: unknown): EmbedderError =>
      new EmbedderError('HOSTED_RESPONSE', `The hosted API answered two requests of one call with different ${what}: ${String(before)}, then ${String(here)}`);
    // A server may repeat anything it was sent.
    const model = this.#settings.transport.secrets.redact(reply.model);
    if (this.#model !== undefined && model !== this.#model) throw mixed('models', model, this.#model);
    if (this.#dimensions !== 0 && reply.dimensions !== this.#dimensions) throw mixed('dimensions', reply.dimensions, this.#dimensions);
    this.#model = model;
    this.#dimensions = reply.dimensions;
    if (this.#isPdf) {
      this.#embeddings.splice(0, 1, ...reply.items);
      this.#tokenized.splice(0, 1, ...reply.tokenized);
    } else {
      indices.forEach((index, i) => {
        this.#embeddings[index] = reply.items[i];
        this.#tokenized[index] = reply.tokenized[i] ?? null;
      });
    }
    this.#usage.tokens += reply.tokens;
    this.#usage.promptTokens += reply.promptTokens;
    this.#usage.requests += 1;
    this.#usage.images += indices.filter((index) => !('text' in (this.#wires[index] as HostedWire))).length;
    this.#report(indices.length);
  }

  #leaveOut(bad: InputError): void {
    this.#errors.push(bad);
    this.#report(1);
  }

  /** What the caller's function throws is its own affair: reported as uncaught, and no part of the call. */
  #report(nInputs: number): void {
    this.#done += nInputs;
    try {
      this.#options.onProgress?.({ done: this.#done, total: this.#wires.length });
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #result(): HostedResult<unknown> {
    const { model, space } = this.#settings;
    const totalMs = performance.now() - this.#start;
    return {
      embeddings: this.#embeddings,
      dimensions: this.#dimensions,
      space: hostedSpaceOf(space, model, this.#options, this.#dimensions),
      source: 'hosted',
      device: null,
      model: this.#model ?? model,
      usage: this.#usage,
      errors: this.#errors.sort((a, b) => a.index - b.index),
      timings: { queueMs: 0, fetchMs: 0, preprocessMs: this.#writingMs, computeMs: Math.max(0, totalMs - this.#writingMs), totalMs },
      ...(this.#options.returnTokenizedInput === true ? { tokenizedInputs: this.#tokenized } : {}),
    };
  }
}

function inputsError(inputs: readonly InputError[], nInputs: number): EmbedderError {
  const what = inputs.map(({ index, message }) => `input ${index}: ${message}`).slice(0, 3).join('; ');
  const more = inputs.length > 3 ? `; and ${inputs.length - 3} more` : '';
  return new EmbedderError('INPUT_INVALID', `${inputs.length} of ${nInputs} inputs cannot be embedded: ${what}${more}`, { data: { inputs } });
}
