// jina-embeddings-web/openai: an embedder in the shape of the OpenAI client's `embeddings`.

import { EmbedderError, isRecord } from '../errors.js';
import type { Task } from '../types.js';
import { requireTask, toNumbers, type EmbedsTexts } from './embeds.js';

export interface OpenAIShapeOptions {
  /** What the vectors are for, where a call's body has no `task` of its own. */
  readonly task: Task;
  readonly dimensions?: number | undefined;
}

/** The body of `embeddings.create`, and `task`, which the hosted API has beyond OpenAI's. */
export interface CreateParams {
  /** Texts. Token ids, which OpenAI's type allows, are refused: they belong to another tokeniser. */
  readonly input: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  /** Repeated in the answer. The embedder has one model, whatever is asked for. */
  readonly model?: string | undefined;
  readonly dimensions?: number | undefined;
  readonly encoding_format?: 'float' | 'base64' | null | undefined;
  readonly user?: string | undefined;
  readonly task?: Task | undefined;
}

/** The answer of `embeddings.create`. */
export interface CreateResponse<E = number[]> {
  object: 'list';
  data: { object: 'embedding'; index: number; embedding: E }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

/** As the OpenAI client has it: `client.embeddings.create(body, { signal })`. */
export interface OpenAIShape {
  readonly embeddings: {
    create(body: CreateParams & { readonly encoding_format: 'base64' }, options?: { readonly signal?: AbortSignal | null | undefined }): Promise<CreateResponse<string>>;
    create(body: CreateParams, options?: { readonly signal?: AbortSignal | null | undefined }): Promise<CreateResponse>;
  };
}

/**
 * Puts an embedder into the shape of the OpenAI client, for code that was written for it.
 *
 * `create` fails as the embedder does, and with `INPUT_INVALID` for token ids, which belong to another
 * tokeniser.
 */
export function toOpenAI(embedder: EmbedsTexts, defaults: OpenAIShapeOptions): OpenAIShape {
  requireTask(defaults?.task, 'option `task`');
  async function create(body: CreateParams, options: { readonly signal?: AbortSignal | null | undefined } = {}): Promise<CreateResponse<never>> {
    const texts = textsOf(body);
    const task = body.task === undefined ? defaults.task : requireTask(body.task, '`task`');
    const { embeddings, usage } = await embedder.encode(texts, { task, dimensions: body.dimensions ?? defaults.dimensions, signal: options.signal ?? undefined });
    const forms: unknown[] = body.encoding_format === 'base64' ? embeddings.map((embedding) => base64Of(embedding as Float32Array)) : toNumbers(embeddings);
    return {
      object: 'list',
      data: forms.map((embedding, index) => ({ object: 'embedding', index, embedding: embedding as never })),
      model: body.model ?? embedder.info.model.name,
      usage: { prompt_tokens: usage.tokens, total_tokens: usage.tokens },
    };
  }
  return { embeddings: { create: create as OpenAIShape['embeddings']['create'] } };
}

function textsOf(body: CreateParams): readonly string[] {
  const input: unknown = isRecord(body) ? body['input'] : undefined;
  const texts: unknown[] = Array.isArray(input) ? input : [input];
  if (!texts.every((text) => typeof text === 'string')) {
    throw new EmbedderError('INPUT_INVALID', '`input` must be a string or a list of strings; token ids of another tokeniser mean nothing here');
  }
  const format: unknown = body.encoding_format;
  if (format !== undefined && format !== null && format !== 'float' && format !== 'base64') {
    throw new EmbedderError('INPUT_INVALID', `\`encoding_format\` must be "float" or "base64", not ${JSON.stringify(format)}`);
  }
  return texts as string[];
}

/** Little-endian floats, as every platform that runs this keeps them. */
function base64Of(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
