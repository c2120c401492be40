// Weights in Cache Storage, where a thread has no file system of its own: one response for each name. The
// browser keeps a response whole or not at all.

import type { WeightStore } from '../types.js';

const CACHE = 'jina-embeddings-web-weights';
/** Never fetched: responses are kept by address, and these are nobody's. */
const ADDRESS = 'https://weights.invalid/';

export function hasCaches(): boolean {
  return typeof caches !== 'undefined';
}

export class CacheWeights implements WeightStore {
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  static async open(): Promise<CacheWeights> {
    return new CacheWeights(await caches.open(CACHE));
  }

  async names(): Promise<string[]> {
    return (await this.#cache.keys()).map(({ url }) => decodeURIComponent(url.slice(ADDRESS.length)));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const response = await this.#cache.match(address(name));
    return response === undefined ? undefined : new Uint8Array(await response.arrayBuffer());
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.#cache.put(address(name), new Response(bytes as BufferSource));
  }

  async delete(name: string): Promise<void> {
    await this.#cache.delete(address(name));
  }
}

function address(name: string): string {
  return ADDRESS + encodeURIComponent(name);
}
