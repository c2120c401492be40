// The originals of what lies on the table, kept on this device in Cache Storage, which takes files of any size. The
// index is made from them, and made anew from them when another model is loaded or its file is damaged.

const CACHE = 'light-table-shelf';
const ENTRY_HEADER = 'x-light-table-entry';
const LAID_OUT = '/__light-table/laid-out';

export type Kind = 'picture' | 'passage';
export type Format = 'text' | 'markdown' | 'html';

export interface Entry {
  readonly id: string;
  readonly kind: Kind;
  /** The title; of a passage without one, its first words. */
  readonly name: string;
  /** Whether the name says more than the text's beginning. */
  readonly titled: boolean;
  readonly order: number;
  readonly format?: Format;
  readonly language?: string;
  readonly names?: readonly string[];
}

export class Shelf {
  #cache: Cache | undefined;
  /** Where the browser keeps nothing (no secure context, a private window), and for what found no room. */
  #memory = new Map<string, { entry: Entry; body: Blob }>();
  /** True when something could only be kept for this visit. */
  full = false;

  static async open(): Promise<Shelf> {
    const shelf = new Shelf();
    try {
      shelf.#cache = await caches.open(CACHE);
    } catch { /* kept for this visit only */ }
    return shelf;
  }

  get lasts(): boolean { return this.#cache !== undefined; }

  /** True on the first visit, and after everything was forgotten. */
  async isNew(): Promise<boolean> {
    return !(await this.#cache?.match(LAID_OUT)) && this.#memory.size === 0;
  }

  async markLaidOut(): Promise<void> {
    await this.#cache?.put(LAID_OUT, new Response('')).catch(() => undefined);
  }

  async entries(): Promise<Entry[]> {
    const entries = [...this.#memory.values()].map(({ entry }) => entry);
    for (const request of await this.#cache?.keys() ?? []) {
      const header = (await this.#cache?.match(request))?.headers.get(ENTRY_HEADER);
      if (header) entries.push(JSON.parse(decodeURIComponent(header)) as Entry);
    }
    return entries.sort((a, b) => a.order - b.order);
  }

  async put(entry: Entry, body: Blob): Promise<void> {
    const headers = { [ENTRY_HEADER]: encodeURIComponent(JSON.stringify(entry)), 'content-type': body.type || 'application/octet-stream' };
    try {
      if (!this.#cache) throw new Error('nothing is kept here');
      await this.#cache.put(addressOf(entry.id), new Response(body, { headers }));
    } catch {
      this.full = this.#cache !== undefined;
      this.#memory.set(entry.id, { entry, body });
    }
  }

  async body(id: string): Promise<Blob | undefined> {
    return this.#memory.get(id)?.body ?? (await this.#cache?.match(addressOf(id)))?.blob();
  }

  async remove(id: string): Promise<void> {
    this.#memory.delete(id);
    await this.#cache?.delete(addressOf(id));
  }

  /** Deletes every original at once; the samples are not laid out again by themselves. */
  async clear(): Promise<void> {
    const isNew = await this.isNew();
    await this.forget();
    if (!isNew) await this.markLaidOut();
  }

  /** As before the first visit. */
  async forget(): Promise<void> {
    this.#memory.clear();
    await caches.delete(CACHE).catch(() => false);
    this.#cache = await caches.open(CACHE).catch(() => undefined);
  }
}

function addressOf(id: string): string {
  return `/__light-table/${encodeURIComponent(id)}`;
}
