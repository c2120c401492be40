// The two places that can embed: an engine here, and the hosted API. Both take inputs that were copied at
// the moment of the call, and leave the copies whole where the other side may need them.

import type { HostedClient } from '../hosted/client.js';
import type { HostedInfo } from '../hosted/types.js';
import { transferablesOf } from '../inputs.js';
import type { EmbedderInfo, EncodeOptions, EncodeResult, MemoryUse, MultiVector } from '../types.js';
import { RowMajorVectors, spaceOf } from '../vectors.js';
import type { WasmEncodeOptions } from '../wasm-face.js';
import type { EncodeReply, WireInput } from '../worker/protocol.js';
import type { LocalEngine } from './local-engine.js';
import { unlessAborted } from './shared-task.js';

export type AnyEmbedding = Float32Array | MultiVector | null;
export type AnyResult = EncodeResult<AnyEmbedding>;

/** One call: its inputs, copied or being copied, and its options, checked. */
export interface Call {
  readonly copies: Promise<readonly WireInput[]>;
  readonly options: EncodeOptions;
  /** The copies may be needed again: nothing of them is transferred. */
  readonly keepCopies: boolean;
}

export interface Side {
  readonly source: 'local' | 'hosted';
  readonly info: EmbedderInfo | HostedInfo;
  encode(call: Call): Promise<AnyResult>;
  memory(): Promise<MemoryUse>;
  dispose(): Promise<void>;
}

export class LocalSide implements Side {
  readonly source = 'local';
  readonly engine: LocalEngine;
  /** Settles when the last call's request was sent: copying pixels takes time, and calls keep their order. */
  #lastSent: Promise<void> = Promise.resolve();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(engine: LocalEngine) {
    this.engine = engine;
  }

  get info(): EmbedderInfo {
    return this.engine.info;
  }

  encode(call: Call): Promise<AnyResult> {
    const result = this.#encode(call);
    this.#underWay.add(result);
    const done = (): void => void this.#underWay.delete(result);
    result.then(done, done);
    return result;
  }

  async #encode({ copies, options, keepCopies }: Call): Promise<AnyResult> {
    const { signal, onProgress } = options;
    const sent = this.#lastSent.then(async () => {
      const inputs = await copies;
      const client = await this.engine.client(signal);
      const request = { inputs, options: wasmOptionsOf(options), onInputError: options.onInputError ?? 'throw' } as const;
      const hooks = { signal, onProgress, transfer: keepCopies ? [] : transferablesOf(inputs) };
      const reply = client.request({ type: 'encode', request }, hooks) as Promise<EncodeReply>;
      // A caller that left by its signal does not hear of the answer.
      reply.catch(() => undefined);
      // In an object, since a bare promise would be waited for here.
      return { reply };
    });
    this.#lastSent = sent.then(() => undefined, () => undefined);
    return this.#shape(await (await unlessAborted(sent, signal)).reply, options);
  }

  #shape({ dimensions, items, errors, tokens, images, timings }: EncodeReply, options: EncodeOptions): AnyResult {
    return {
      embeddings: items.map((item) => {
        if (item === null) return null;
        return options.returnMultivector === true ? new RowMajorVectors(item.values, item.rows, dimensions) : item.values;
      }),
      dimensions,
      space: spaceOf(this.info.space, options, dimensions),
      source: 'local',
      device: this.info.device,
      usage: { tokens, images },
      errors,
      timings,
    };
  }

  async memory(): Promise<MemoryUse> {
    return (await (await this.engine.client()).request({ type: 'memory' })) as MemoryUse;
  }

  /** Disposes of the engine as soon as the calls under way have ended. */
  retire(): void {
    void Promise.allSettled(this.#underWay).then(() => this.dispose());
  }

  dispose(): Promise<void> {
    return this.engine.dispose();
  }
}

function wasmOptionsOf({ task, dimensions, returnMultivector, lateChunking, maxPixels, maxLength }: EncodeOptions): WasmEncodeOptions {
  return {
    task,
    multivector: returnMultivector === true,
    lateChunking: lateChunking === true,
    ...(dimensions === undefined ? {} : { dimensions }),
    ...(maxPixels === undefined ? {} : { maxPixels }),
    ...(maxLength === undefined ? {} : { maxLength }),
  };
}

export class HostedSide implements Side {
  readonly source = 'hosted';
  readonly #client: HostedClient;

  constructor(client: HostedClient) {
    this.#client = client;
  }

  get info(): HostedInfo {
    return this.#client.info;
  }

  async encode({ copies, options }: Call): Promise<AnyResult> {
    const { task, dimensions, returnMultivector, lateChunking, signal, onProgress, onInputError } = options;
    const wires = await unlessAborted(copies, signal);
    // A text above the model's limit is cut here as it is on the device.
    const result = await this.#client.encodeCopies(wires, { task, dimensions, returnMultivector, lateChunking, signal, onProgress, onInputError, truncate: true });
    return result as AnyResult;
  }

  async memory(): Promise<MemoryUse> {
    return { gpu: 0, wasm: 0 };
  }

  dispose(): Promise<void> {
    return this.#client.dispose();
  }
}
