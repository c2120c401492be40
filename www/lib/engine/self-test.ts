// A graphics driver can compute wrong numbers without any error. So a model directory holds a few inputs
// and their vectors (`jina-embed verify --write-self-test`), which are recomputed here once per adapter,
// browser, build of this package and set of weights.
//
//   model.json "self_test" ─► self-test.json ─► inputs ─► this device ─► cosine with the stored vectors

import { hashOfText, sha256Hex } from '#weights';
import { EmbedderError, isEmbedderError, isRecord, reasonOf } from '../errors.js';
import { readWhole, type OpenUrl } from '../fetch-body.js';
import type { ModelPlan } from '../model-files.js';
import type { ProgressEvent, SelfTest } from '../types.js';
import type { WasmDeviceInfo, WasmEmbedder, WasmInput } from '../wasm-face.js';
import { adapterKey } from './kernels.js';
import { recall, remember } from '../remembered.js';

const MAX_BYTES = 4 << 20;

interface Case {
  readonly name: string;
  readonly task: string;
  readonly input: WasmInput;
  readonly nTokens: number;
  readonly minCosine: number;
  readonly embedding: Float32Array;
}

/** The vectors of a model on a device, and what is remembered of the two. */
export class DeviceTest {
  readonly #plan: ModelPlan;
  readonly #key: string | undefined;

  /** `kernels`: the form of the operations that was asked for. */
  constructor(plan: ModelPlan, device: WasmDeviceInfo, kernels: string) {
    this.#plan = plan;
    this.#key = keyOf(plan, device, kernels);
  }

  /** Fails with `SELFTEST_FAILED` where the device came out wrong before. */
  async refuseKnown(): Promise<void> {
    if ((await this.#verdict())?.startsWith('failed') !== true) return;
    const message = 'This device computed wrong numbers in an earlier self-test of the same model; `forgetDevice()` has it tried again';
    throw new EmbedderError('SELFTEST_FAILED', message, { data: { remembered: true } });
  }

  /**
   * Recomputes the model's vectors, unless they came out right before, with the same form of the operations.
   *
   * Fails with `SELFTEST_FAILED` naming the first input that came out wrong, `INTEGRITY` and
   * `MODEL_INVALID` for the file.
   */
  async run(embedder: WasmEmbedder, embed: Embed, open: OpenUrl, onProgress: (event: ProgressEvent) => void, signal: AbortSignal): Promise<SelfTest> {
    if (this.#key === undefined) return 'none';
    const kernels = embedder.kernels();
    if ((await this.#verdict()) === `passed ${kernels}`) return 'remembered';
    onProgress({ status: 'selftest' });
    const cases = await readCases(this.#plan, open, signal);
    if (cases === undefined) return 'none';
    try {
      for (const each of casesFor(embedder, cases)) check(each, await embed(each.input, each.task));
    } catch (error) {
      if (isEmbedderError(error) && error.code === 'SELFTEST_FAILED') await remember(this.#key, `failed ${kernels}`);
      throw error;
    }
    await remember(this.#key, `passed ${kernels}`);
    return 'passed';
  }

  async #verdict(): Promise<string | undefined> {
    return this.#key === undefined ? undefined : recall(this.#key);
  }
}

/** Names adapter, browser, build and weights; `undefined` where the model brings no vectors to compare. */
function keyOf(plan: ModelPlan, device: WasmDeviceInfo, kernels: string): string | undefined {
  if (plan.selfTest === undefined) return undefined;
  // A driver cannot be asked for its version; a browser's is the nearest there is.
  const { userAgent = '' } = (globalThis as { navigator?: { userAgent?: string } }).navigator ?? {};
  const weights = [...plan.files.map((file) => file.sha256 ?? file.name), plan.selfTest.sha256];
  const parts = [device.kind, adapterKey(device), kernels, userAgent, ...weights];
  return `selftest/${hashOfText(JSON.stringify(parts))}`;
}

/** Those whose parts of the model are loaded. */
function casesFor(embedder: WasmEmbedder, cases: readonly Case[]): Case[] {
  const { hasVision, tasks } = embedder.config();
  return cases.filter(({ input, task }) => tasks.includes(task.split('.')[0] ?? '') && (hasVision || 'text' in input));
}

function check(wanted: Case, item: Embedded): void {
  const { nTokens, minCosine } = wanted;
  if ('error' in item) throw failed(wanted, item.error.message);
  if (item.tokens !== nTokens) throw failed(wanted, `needed ${nTokens} tokens, found ${item.tokens}`);
  const cosine = cosineOf(item.values, wanted.embedding);
  // The negation also refuses a NaN.
  if (!(cosine >= minCosine)) throw failed(wanted, `needed a cosine of at least ${minCosine} with the stored vector, found ${cosine}`, { needed: minCosine, found: cosine });
}

type Embedded = { readonly values: Float32Array; readonly tokens: number } | { readonly error: { readonly message: string } };

/** Embeds one input whole. */
export type Embed = (input: WasmInput, task: string) => Promise<Embedded>;

function failed({ name }: Case, what: string, data: Record<string, unknown> = {}): EmbedderError {
  return new EmbedderError('SELFTEST_FAILED', `This device computes wrong numbers: self-test "${name}": ${what}`, { data: { ...data, case: name } });
}

function cosineOf(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return NaN;
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / Math.sqrt(aa * bb);
}

async function readCases({ selfTest, space }: ModelPlan, open: OpenUrl, signal: AbortSignal): Promise<readonly Case[] | undefined> {
  if (selfTest === undefined) return undefined;
  const { url } = selfTest;
  let bytes: Uint8Array;
  try {
    bytes = await readWhole(url, open, MAX_BYTES, signal);
  } catch (error) {
    // The weights are here; that the page is offline is no reason to do without them.
    if (isEmbedderError(error) && error.code === 'DOWNLOAD_FAILED') return undefined;
    throw error;
  }
  const found = await sha256Hex(bytes);
  if (found !== selfTest.sha256) throw new EmbedderError('INTEGRITY', `${url}: needed SHA-256 ${selfTest.sha256}, found ${found}`, { data: { url, needed: selfTest.sha256, found } });
  const bad = (what: string): EmbedderError => new EmbedderError('MODEL_INVALID', `${url}: ${what}`, { data: { url } });
  let file: unknown;
  try {
    file = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw bad(`needed JSON (${reasonOf(cause)})`);
  }
  if (!isRecord(file) || file['format'] !== 'jina-embeddings-web/self-test' || file['format_version'] !== 1) throw bad('needed "format": "jina-embeddings-web/self-test" of version 1');
  if (file['space'] !== space) throw bad(`needed the vectors of space ${JSON.stringify(space)}, found those of ${JSON.stringify(file['space'])}`);
  const cases = file['cases'];
  if (!Array.isArray(cases)) throw bad('needed "cases" to be a list');
  return cases.map((each: unknown, i) => {
    const read = readCase(each);
    if (read === undefined) throw bad(`cases[${i}] is malformed`);
    return read;
  });
}

function readCase(value: unknown): Case | undefined {
  if (!isRecord(value)) return undefined;
  const { name, task, text, image, n_tokens: nTokens, min_cosine: minCosine, embedding } = value;
  const input = typeof text === 'string' ? { text } : typeof image === 'string' ? { image: fromBase64(image) } : undefined;
  const isSound = typeof name === 'string' && typeof task === 'string' && typeof nTokens === 'number' && typeof minCosine === 'number' && typeof embedding === 'string';
  if (!isSound || input === undefined || ('image' in input && input.image === undefined)) return undefined;
  const numbers = fromBase64(embedding);
  if (numbers === undefined || numbers.length === 0 || numbers.length % 4 !== 0) return undefined;
  const view = new DataView(numbers.buffer);
  const values = Float32Array.from({ length: numbers.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  return { name, task, input: input as WasmInput, nTokens, minCosine, embedding: values };
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return undefined;
  }
}
