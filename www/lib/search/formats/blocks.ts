// What every format becomes: plain text, and where its sections begin.

export interface PlainText {
  /** Paragraphs with an empty line between them. */
  readonly text: string;
  /** Offsets where a heading begins: no passage crosses one. */
  readonly breaks: readonly number[];
  readonly title?: string;
  /** Language, where the document states it. */
  readonly locale?: string;
}

/** Collects blocks of text in order. */
export class BlockWriter {
  #done = '';
  #block = '';
  #isHeading = false;
  readonly #breaks: number[] = [];
  #firstHeading: string | undefined;

  /** Text within a block; runs of white space become one space. */
  inline(text: string): void {
    const flat = text.replace(/[\s\u00a0]+/gu, ' ');
    this.#block += /\s$/u.test(this.#block) || this.#block === '' ? flat.replace(/^ /u, '') : flat;
  }

  /** Text within a block, as it stands. */
  verbatim(text: string): void {
    this.#block += text;
  }

  line(): void {
    this.#block = this.#block.replace(/ +$/u, '');
    if (this.#block !== '') this.#block += '\n';
  }

  endBlock(): void {
    const block = this.#block.replace(/^\n+|\s+$/gu, '');
    if (block.trim() !== '') {
      if (this.#done !== '') this.#done += '\n\n';
      if (this.#isHeading) {
        this.#breaks.push(this.#done.length);
        this.#firstHeading ??= block;
      }
      this.#done += block;
    }
    this.#block = '';
    this.#isHeading = false;
  }

  beginHeading(): void {
    this.endBlock();
    this.#isHeading = true;
  }

  finish(title?: string, locale?: string): PlainText {
    this.endBlock();
    const named = title?.replace(/\s+/gu, ' ').trim() || this.#firstHeading;
    return { text: this.#done, breaks: this.#breaks, ...(named ? { title: named } : {}), ...(locale ? { locale } : {}) };
  }
}
