// The body of a success ─► vectors. What is not as the API's description says is an error: a vector that
// is missing, twice there, of another length or not finite must never reach an index.

import { EmbedderError, isRecord } from '../errors.js';
import { readBase64 } from '../inputs.js';
import { RowMajorVectors } from '../vectors.js';
import { base64Of } from './documents.js';
import type { EmbeddingType, HostedEncodeOptions } from './types.js';

export interface ReadReply {
  /** In the order of the request's inputs. */
  readonly items: readonly unknown[];
  readonly tokenized: readonly (readonly string[] | null)[];
  readonly dimensions: number;
  readonly model: string;
  readonly tokens: number;
  readonly promptTokens: number;
}

type Packed = Float32Array | Int8Array | Uint8Array;

/** The server's form of what the caller wants: base64 carries the same floats in a quarter of the bytes. */
export function wireTypeOf({ embeddingType = 'float' }: HostedEncodeOptions): EmbeddingType | readonly EmbeddingType[] {
  return embeddingType === 'float' ? 'base64' : embeddingType;
}

/**
 * Reads a reply to `nInputs` inputs; `undefined`, for a PDF, takes as many vectors as come.
 *
 * Fails with `HOSTED_RESPONSE` naming the field, what was needed and what was found.
 */
export function readReply(body: string, nInputs: number | undefined, options: HostedEncodeOptions, requestId: string | undefined): ReadReply {
  const bad = (what: string): EmbedderError =>
    new EmbedderError('HOSTED_RESPONSE', `The hosted API's answer cannot be read: ${what}${requestId === undefined ? '' : ` (request ${requestId})`}`, {
      data: requestId === undefined ? {} : { requestId },
    });
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw bad(`needed JSON, found ${body === '' ? 'nothing' : body.trimStart().startsWith('<') ? 'a page of HTML' : `${body.length} characters that are none`}`);
  }
  if (!isRecord(json) || !Array.isArray(json['data'])) throw bad('needed a list `data`');
  const data: unknown[] = json['data'];
  if (nInputs !== undefined && data.length !== nInputs) throw bad(`needed ${nInputs} entries in \`data\`, found ${data.length}`);
  if (data.length === 0) throw bad('needed at least one entry in `data`, found none');
  const usage = json['usage'];
  const count = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isRecord(usage) || !count(usage['total_tokens'])) throw bad('needed a number of tokens `usage.total_tokens`');

  const items = new Array<unknown>(data.length);
  const tokenized = new Array<readonly string[] | null>(data.length).fill(null);
  const reader = new VectorReader(options, bad);
  const seen = new Set<number>();
  data.forEach((entry, position) => {
    if (!isRecord(entry)) throw bad(`needed data[${position}] to be an object`);
    const index = entry['index'] ?? position;
    if (!count(index) || index >= data.length || seen.has(index)) throw bad(`needed data[${position}].index to be a place of its own below ${data.length}, found ${JSON.stringify(index)}`);
    seen.add(index);
    items[index] = reader.read(entry, `data[${position}]`);
    const tokens = entry['tokenized_input'];
    if (Array.isArray(tokens)) tokenized[index] = tokens.map(String);
  });
  if (options.dimensions !== undefined && reader.dimensions !== options.dimensions) throw bad(`needed vectors of ${options.dimensions} dimensions, found ${reader.dimensions}`);
  return {
    items,
    tokenized,
    dimensions: reader.dimensions,
    model: typeof json['model'] === 'string' ? json['model'] : '',
    tokens: usage['total_tokens'],
    promptTokens: count(usage['prompt_tokens']) ? usage['prompt_tokens'] : usage['total_tokens'],
  };
}

class VectorReader {
  /** Of every vector read so far. */
  dimensions = 0;
  readonly #options: HostedEncodeOptions;
  readonly #bad: (what: string) => EmbedderError;

  constructor(options: HostedEncodeOptions, bad: (what: string) => EmbedderError) {
    this.#options = options;
    this.#bad = bad;
  }

  read(entry: Record<string, unknown>, at: string): unknown {
    const { embeddingType = 'float', returnMultivector } = this.#options;
    // Some servers give the vectors of one input under `embedding` too.
    const value = returnMultivector === true ? (entry['embeddings'] ?? entry['embedding']) : entry['embedding'];
    const form = (type: EmbeddingType, given: unknown): unknown => (returnMultivector === true ? this.#rows(given, type, at) : this.#form(given, type, at));
    if (!Array.isArray(embeddingType)) return form(embeddingType as EmbeddingType, value);
    if (isRecord(value) && !Array.isArray(value)) return Object.fromEntries(embeddingType.map((type: EmbeddingType) => [type, form(type, value[type])]));
    const [only, ...more] = embeddingType as EmbeddingType[];
    if (more.length > 0) throw this.#bad(`needed ${at}.embedding to hold ${embeddingType.join(' and ')} by name`);
    return { [only as EmbeddingType]: form(only as EmbeddingType, value) };
  }

  /** One vector in the form that the caller asked for. */
  #form(value: unknown, type: EmbeddingType, at: string): Packed | string {
    const vector = this.#vector(value, type, at);
    return type === 'base64' ? base64Of(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)) : vector;
  }

  #rows(value: unknown, type: EmbeddingType, at: string): unknown {
    if (!Array.isArray(value) || value.length === 0) throw this.#bad(`needed ${at}.embeddings to be a list of vectors`);
    if (type === 'base64') return value.map((row, i) => this.#form(row, type, `${at}.embeddings[${i}]`));
    const rows = value.map((row, i) => this.#vector(row, type, `${at}.embeddings[${i}]`));
    const width = (rows[0] as Packed).length;
    const values = new (type === 'float' ? Float32Array : type === 'binary' ? Int8Array : Uint8Array)(rows.length * width);
    rows.forEach((row, i) => values.set(row, i * width));
    return new RowMajorVectors(values, rows.length, width);
  }

  #vector(value: unknown, type: EmbeddingType, at: string): Packed {
    const isFloat = type === 'float' || type === 'base64';
    const vector = typeof value === 'string' ? this.#decode(value, type, at) : this.#numbers(value, type, at);
    if (vector.length === 0) throw this.#bad(`needed ${at} to hold a vector, found an empty one`);
    if (isFloat && !vector.every(Number.isFinite)) throw this.#bad(`needed ${at} to hold finite numbers`);
    const dimensions = isFloat ? vector.length : vector.length * 8;
    if (this.dimensions === 0) this.dimensions = dimensions;
    // Packed bits are filled up to whole bytes.
    else if (dimensions !== this.dimensions && (isFloat || Math.abs(dimensions - this.dimensions) > 7)) {
      throw this.#bad(`needed ${at} to hold ${this.dimensions} dimensions as the others do, found ${dimensions}`);
    }
    if (isFloat) this.dimensions = dimensions;
    return vector;
  }

  #numbers(value: unknown, type: EmbeddingType, at: string): Packed {
    if (!Array.isArray(value)) throw this.#bad(`needed ${at}.embedding to be a list of numbers or base64 text, found ${value === null ? 'null' : typeof value}`);
    const [low, high] = type === 'binary' ? [-128, 127] : [0, 255];
    const isFloat = type === 'float' || type === 'base64';
    if (!value.every((x) => typeof x === 'number' && (isFloat || (Number.isInteger(x) && x >= low && x <= high)))) {
      throw this.#bad(isFloat ? `needed ${at} to hold numbers` : `needed ${at} to hold whole numbers from ${low} to ${high}`);
    }
    return (isFloat ? Float32Array : type === 'binary' ? Int8Array : Uint8Array).from(value as number[]);
  }

  /** Little-endian, as every platform that runs this keeps its numbers. */
  #decode(text: string, type: EmbeddingType, at: string): Packed {
    let bytes: Uint8Array;
    try {
      bytes = readBase64(text);
    } catch {
      throw this.#bad(`needed ${at} to hold base64 text`);
    }
    if (type === 'ubinary') return bytes;
    if (type === 'binary') return new Int8Array(bytes.buffer);
    if (bytes.length % 4 !== 0) throw this.#bad(`needed ${at} to hold 32-bit floats, found ${bytes.length} bytes`);
    return new Float32Array(bytes.buffer);
  }
}
