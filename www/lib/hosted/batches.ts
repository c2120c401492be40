// Inputs ─► batches under the limits, in order, each written only when it is asked for: however many
// pictures a call has, only those of the requests under way are held in base64.

export interface Batch {
  /** Places in the call's list of inputs. */
  readonly indices: readonly number[];
  /** Each as JSON text. */
  readonly documents: readonly string[];
}

export interface BatchLimits {
  readonly inputs: number;
  /** Of JSON text. One larger document still makes a batch by itself. */
  readonly bytes: number;
}

export class Batches {
  readonly #indices: readonly number[];
  readonly #write: (index: number) => Promise<string | undefined>;
  readonly #limits: BatchLimits;
  #position = 0;
  /** Written for the last batch, where it did not fit. */
  #carried: { readonly index: number; readonly document: string } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** `write` answers `undefined` for an input that is left out. */
  constructor(indices: readonly number[], write: (index: number) => Promise<string | undefined>, limits: BatchLimits) {
    this.#indices = indices;
    this.#write = write;
    this.#limits = limits;
  }

  /** The next batch, or `undefined` at the end. May be called while another call waits; order is kept. */
  next(): Promise<Batch | undefined> {
    const batch = this.#last.then(() => this.#fill());
    this.#last = batch.catch(() => undefined);
    return batch;
  }

  async #fill(): Promise<Batch | undefined> {
    const indices: number[] = [];
    const documents: string[] = [];
    let nBytes = 0;
    while (documents.length < this.#limits.inputs) {
      const next = this.#carried ?? (await this.#writeNext());
      this.#carried = undefined;
      if (next === undefined) break;
      const added = utf8Length(next.document);
      if (documents.length > 0 && nBytes + added > this.#limits.bytes) {
        this.#carried = next;
        break;
      }
      indices.push(next.index);
      documents.push(next.document);
      nBytes += added;
    }
    return documents.length === 0 ? undefined : { indices, documents };
  }

  async #writeNext(): Promise<{ index: number; document: string } | undefined> {
    while (this.#position < this.#indices.length) {
      const index = this.#indices[this.#position++] as number;
      const document = await this.#write(index);
      if (document !== undefined) return { index, document };
    }
    return undefined;
  }
}

function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    // A surrogate counts two: its pair takes four bytes.
    if (unit > 0x7f) length += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return length;
}
