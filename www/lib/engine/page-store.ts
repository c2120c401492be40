// A store that the caller gave, asked from a worker: a function cannot cross, so the page calls its methods.

import { fromWire } from '../errors.js';
import type { WeightStore } from '../types.js';
import type { StoreCall, ToEngine, ToPage } from '../worker/protocol.js';

type StoreAnswer = Extract<ToEngine, { type: `store-${string}` }>;

export class PageStore implements WeightStore {
  readonly #post: (message: ToPage) => void;
  readonly #waiting = new Map<number, { readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void }>();
  #lastId = 0;

  constructor(post: (message: ToPage) => void) {
    this.#post = post;
  }

  receive(answer: StoreAnswer): void {
    const exchange = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.type === 'store-failure') exchange?.reject(fromWire(answer.error));
    else exchange?.resolve(answer.value);
  }

  async names(): Promise<readonly string[]> {
    return (await this.#ask({ method: 'names' })) as readonly string[];
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return (await this.#ask({ method: 'get', name })) as Uint8Array | undefined;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#ask({ method: 'put', name, bytes });
  }

  async delete(name: string): Promise<void> {
    await this.#ask({ method: 'delete', name });
  }

  #ask(call: StoreCall): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#post({ type: 'store', id, call });
    });
  }
}
