// The test's end of the lab page (lab/lab.js): loads models and encodes in the browser.
import { expect } from '@playwright/test';
import type { Page } from '@playwright/test';
import type { Vectors } from './agreement';

export type Task = 'retrieval.query' | 'retrieval.passage' | 'text-matching' | 'code.query' | 'code.passage';
export type DeviceKind = 'webgpu' | 'wasm';
export const DEVICES: readonly DeviceKind[] = ['webgpu', 'wasm'];

export type LabInput =
  | string
  | { text: string }
  | { image: string }
  | { address: string }
  | { imageBytes: number[]; type?: string }
  | { blank: [width: number, height: number] }
  | { drawn: string; as: 'ImageBitmap' | 'ImageData' | 'canvas' | 'OffscreenCanvas' };

export interface LabOptions {
  task: Task | string;
  dimensions?: number | undefined;
  returnMultivector?: boolean;
  lateChunking?: boolean;
  maxPixels?: number | undefined;
  maxLength?: number;
  onInputError?: 'throw' | 'null';
  /** The name of a signal that `abort` ends. */
  signal?: string;
}

export interface LoadOptions { model: unknown; device: DeviceKind | 'auto'; kernels?: 'auto' | 'measure' | 'tiled' | 'direct'; worker?: string | false; signal?: string; progress?: boolean; initTimeout?: number; parts?: { images?: boolean }; gpuBudget?: number; mode?: string; hosted?: { baseURL: string }; cache?: 'opfs' | 'cache-api' | 'own' | false; ownFetch?: boolean; asFiles?: boolean }
export interface LabError { name: string; code?: string; message: string; recoverable?: boolean; inputs: Array<{ index: number; code: string; message: string }> }
export type Outcome<T> = { value: T; error?: never } | { error: LabError; value?: never };
export interface LabInfo {
  device: DeviceKind;
  deviceFallback?: { code: string; message: string };
  adapter: { name: string; vendor: string; architecture: string; isFallbackAdapter: boolean };
  kernels: string;
  model: { name: string; tasks: string[]; projectorDim: number | null; hasVision: boolean; maxTokens: number; longestText: number; nBytes: number; matryoshkaDims: number[] };
  space: string;
  memory: LabMemory;
  selfTest: string;
}
export interface LabMemory { gpu: number; gpuPeak?: number; wasm: number }
export interface LabResult { embeddings: Array<Vectors | null>; dimensions: number; space: string; usage: { tokens: number; images: number }; errors: LabError['inputs']; timings: Record<string, number> }

export interface Cached { nBytes: number; files: Array<{ name: string; url: string | null; nBytes: number | null; nBytesCached: number; complete: boolean }> }

interface Wire { embeddings: Array<{ base64: string; rows: number } | null>; dimensions: number; space: string; usage: LabResult['usage']; errors: LabError['inputs']; timings: Record<string, number> }

/** A call that hangs is the failure some tests look for: it must end well before the test does. */
const CALL_MS = 240_000;

export class Lab {
  readonly page: Page;
  #errors: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.#errors.push(error.message));
  }

  static async open(page: Page, site: string): Promise<Lab> {
    const lab = new Lab(page);
    await page.goto(`${site}lab/`);
    await page.waitForFunction(() => 'lab' in globalThis);
    return lab;
  }

  /** Errors that nobody caught in the page. */
  get uncaught(): readonly string[] { return this.#errors; }

  tryLoad(name: string, options: LoadOptions): Promise<Outcome<{ info: LabInfo; events: Array<Record<string, unknown>>; fallbacks: Array<{ code: string; message: string }> }>> {
    return this.#call('load', name, options);
  }

  /** Fails unless the model loads on the very device that was asked for. */
  async load(name: string, options: LoadOptions): Promise<LabInfo> {
    const { info } = must(await this.tryLoad(name, options));
    if (options.device !== 'auto') expect(info.device, 'the device that computes').toBe(options.device);
    return info;
  }

  async tryEncode(name: string, inputs: LabInput | readonly LabInput[], options: LabOptions): Promise<Outcome<LabResult>> {
    const outcome = await this.#call<Wire>('encode', name, inputs, options);
    return outcome.error ? outcome : { value: decoded(outcome.value) };
  }

  async encode(name: string, inputs: readonly LabInput[], options: LabOptions): Promise<LabResult> {
    return must(await this.tryEncode(name, inputs, options));
  }

  /** One vector per input, none of them missing. */
  async vectors(name: string, inputs: readonly LabInput[], options: LabOptions): Promise<Vectors[]> {
    const { embeddings } = await this.encode(name, inputs, options);
    expect(embeddings.length).toBe(inputs.length);
    return embeddings.map((each, i) => {
      if (!each) throw new Error(`input ${i} has no embedding`);
      return each;
    });
  }

  async encodeTogether(name: string, lists: readonly (readonly LabInput[])[], options: LabOptions): Promise<LabResult[]> {
    return must(await this.#call<Wire[]>('encodeTogether', name, lists, options)).map(decoded);
  }

  abort(signal: string, after_ms = 0): Promise<void> {
    return this.page.evaluate(([name, ms]) => (globalThis as never as LabGlobal).lab['abort']!(name, ms) as never, [signal, after_ms] as const);
  }

  memory(name: string): Promise<Outcome<LabMemory>> { return this.#call('memory', name); }
  forgetDevice(): Promise<Outcome<null>> { return this.#call('forgetDevice'); }
  dispose(name: string): Promise<Outcome<null>> { return this.#call('dispose', name); }
  cached(options: object = {}): Promise<Outcome<Cached>> { return this.#call('cached', options); }
  clear(options: object = {}): Promise<Outcome<number>> { return this.#call('clear', options); }
  /** Bytes in the store that is the page's own. */
  ownKept(): Promise<number> { return this.page.evaluate(() => (globalThis as never as LabGlobal).lab['ownKept']!() as number); }
  availability(options: unknown): Promise<Outcome<Record<string, unknown>>> { return this.#call('availability', options); }

  /** Gives a command to lab/sabotage.js, and waits until it is carried out. */
  sabotage(command: string): Promise<void> {
    return this.page.evaluate((wanted) => new Promise<void>((resolve) => {
      const channel = new BroadcastChannel('sabotage');
      const ask = (): void => channel.postMessage({ type: 'command', command: wanted });
      const timer = setInterval(ask, 50); // a worker that is only starting does not hear yet
      channel.addEventListener('message', ({ data }) => {
        if (data.type !== 'done' || data.command !== wanted) return;
        clearInterval(timer);
        channel.close();
        resolve();
      });
      ask();
    }), command);
  }

  async #call<T>(method: string, ...given: unknown[]): Promise<Outcome<T>> {
    const call = this.page.evaluate(([name, values]) => (globalThis as never as LabGlobal).lab[name]!(...values), [method, given] as const);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`lab.${method} did not end within ${CALL_MS / 1000} s`)), CALL_MS);
    });
    try {
      return await Promise.race([call, late]) as Outcome<T>;
    } finally {
      clearTimeout(timer);
    }
  }
}

interface LabGlobal { lab: Record<string, (...values: readonly unknown[]) => unknown> }

export function must<T>(outcome: Outcome<T>): T {
  if (outcome.error) throw new Error(`${outcome.error.code ?? outcome.error.name}: ${outcome.error.message}`);
  return outcome.value;
}

/** The error of a call that has to fail. */
export function failed(outcome: Outcome<unknown>): LabError {
  if (!outcome.error) throw new Error('the call had to fail, and succeeded');
  return outcome.error;
}

function decoded(wire: Wire): LabResult {
  return { ...wire, embeddings: wire.embeddings.map((each) => each && { values: floats(each.base64), rows: each.rows }) };
}

function floats(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer);
}
