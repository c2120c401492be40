// What lies on the table: pictures and passages, each with its vector once it has one. Knows no model and no DOM.

export type Kind = 'picture' | 'passage';

export type ItemState =
  | { at: 'waiting' }
  | { at: 'embedding' }
  | { at: 'ready'; vector: Float32Array }
  | { at: 'failed'; message: string; code: string };

export interface Item {
  readonly id: number;
  readonly kind: Kind;
  readonly name: string;
  /** The passage; a picture has none. */
  readonly text?: string;
  /** The picture's file; a passage has none. */
  readonly file?: Blob;
  /** Object URL of what the card shows. */
  readonly preview?: string;
  state: ItemState;
}

export interface Counts { total: number; ready: number; waiting: number; failed: number }

/** Fires `change` after every change. */
export class Table extends EventTarget {
  #items: Item[] = [];
  #next_id = 1;

  get items(): readonly Item[] { return this.#items; }

  addPicture(file: Blob, name: string, preview: string): Item {
    return this.#add({ kind: 'picture', name, file, preview });
  }

  addPassage(text: string, name = firstWords(text)): Item {
    return this.#add({ kind: 'passage', name, text });
  }

  #add(item: Omit<Item, 'id' | 'state'>): Item {
    const added: Item = { ...item, id: this.#next_id++, state: { at: 'waiting' } };
    this.#items.push(added);
    this.#changed();
    return added;
  }

  /** The state of an item that was removed meanwhile is dropped. */
  setState(id: number, state: ItemState): void {
    const item = this.#items.find((candidate) => candidate.id === id);
    if (!item) return;
    item.state = state;
    this.#changed();
  }

  remove(id: number): void {
    const at = this.#items.findIndex((item) => item.id === id);
    if (at < 0) return;
    const [item] = this.#items.splice(at, 1);
    if (item?.preview) URL.revokeObjectURL(item.preview);
    this.#changed();
  }

  clear(): void {
    for (const item of this.#items) if (item.preview) URL.revokeObjectURL(item.preview);
    this.#items = [];
    this.#changed();
  }

  /** Sends everything back to be embedded: vectors of another space must not be compared with new ones. */
  forgetVectors(): void {
    for (const item of this.#items) item.state = { at: 'waiting' };
    this.#changed();
  }

  counts(): Counts {
    const counts = { total: this.#items.length, ready: 0, waiting: 0, failed: 0 };
    for (const { state } of this.#items) {
      if (state.at === 'ready') counts.ready++;
      else if (state.at === 'failed') counts.failed++;
      else counts.waiting++;
    }
    return counts;
  }

  #changed(): void { this.dispatchEvent(new Event('change')); }
}

/** Splits pasted text: at blank lines where there are any, else at every line. */
export function splitPassages(pasted: string): string[] {
  const text = pasted.replace(/\r\n?/g, '\n');
  const parts = /\n[ \t]*\n/.test(text.trim()) ? text.split(/\n[ \t]*\n+/) : text.split('\n');
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

function firstWords(text: string): string {
  const line = text.trim().split('\n', 1)[0] ?? '';
  return line.length <= 32 ? line : `${line.slice(0, 31).trimEnd()}…`;
}
