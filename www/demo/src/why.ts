// Why a picture was found: which of its patches fit each word of the query, as a heat map over it.
import type { Explanation } from 'jina-embeddings-web/search';
import { el, setText } from './dom';
import { isAbort, sentenceFor } from './errors';
import { hasLearnt } from './config';
import type { Library } from './library';

/** A veil over what fits least, nothing over the middle, a glow over what fits best. */
const VEIL = [12, 14, 26] as const, GLOW = [255, 92, 28] as const;
const MIDDLE = 0.55, VEIL_ALPHA = 205, GLOW_ALPHA = 150;

function heat(share: number): readonly [number, number, number, number] {
  return share < MIDDLE ? [...VEIL, Math.round(VEIL_ALPHA * (1 - share / MIDDLE))] : [...GLOW, Math.round((GLOW_ALPHA * (share - MIDDLE)) / (1 - MIDDLE))];
}

export class Why {
  #dialog = el<HTMLDialogElement>('why');
  #picture = el<HTMLImageElement>('why-picture');
  #heat = el<HTMLCanvasElement>('why-heat');
  #words = el('why-words');
  #library: Library;
  #call: AbortController | undefined;

  constructor(library: Library) {
    this.#library = library;
    el('why-close').addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('close', () => this.#call?.abort());
    this.#dialog.addEventListener('click', (event) => { if (event.target === this.#dialog) this.#dialog.close(); });
  }

  async show(id: string, query: string, model_name: string): Promise<void> {
    const item = this.#library.item(id), { index } = this.#library;
    const body = await this.#library.shelf.body(id);
    if (!item || !index || !body) return;
    const call = this.#call = new AbortController();
    this.#words.replaceChildren();
    this.#heat.hidden = true;
    this.#picture.src = item.preview;
    this.#picture.alt = item.entry.name;
    setText('why-title', `Why “${item.entry.name}”?`);
    setText('why-note', hasLearnt(model_name) ? '' : 'This model has random weights, so the map shows how it works, and means nothing.');
    setText('why-status', 'Reading the picture token by token…');
    this.#dialog.showModal();
    try {
      const explanation = await index.explain(id, query, { content: { image: body }, imageSize: await storedSize(body), signal: call.signal });
      if (call.signal.aborted) return;
      if (!explanation.grid) return setText('why-status', 'This picture’s patches could not be placed.');
      this.#offer(explanation);
    } catch (error) {
      if (!isAbort(error) && !call.signal.aborted) setText('why-status', sentenceFor(error));
    }
  }

  #offer({ words, grid }: Explanation): void {
    if (!grid) return;
    const buttons = words.map(({ text, scores }) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = text;
      button.dir = 'auto';
      button.addEventListener('click', () => {
        for (const other of buttons) other.ariaPressed = String(other === button);
        this.#paint(text, scores, grid);
      });
      return button;
    });
    this.#words.replaceChildren(...buttons);
    buttons[0]?.click();
  }

  #paint(word: string, scores: Float32Array, { rows, columns, first }: NonNullable<Explanation['grid']>): void {
    const patches = scores.subarray(first, first + rows * columns);
    let best = 0, low = Infinity, high = -Infinity;
    patches.forEach((score, i) => {
      if (score > high) [high, best] = [score, i];
      low = Math.min(low, score);
    });
    const image = new ImageData(columns, rows);
    patches.forEach((score, i) => image.data.set(heat((score - low) / (high - low || 1)), 4 * i));
    this.#heat.width = columns;
    this.#heat.height = rows;
    this.#heat.getContext('2d')?.putImageData(image, 0, 0);
    this.#heat.hidden = false;
    const place = `row ${Math.floor(best / columns) + 1} of ${rows}, column ${(best % columns) + 1} of ${columns}`;
    setText('why-status', `“${word}” fits best at ${place}: ${high.toFixed(3)}; worst ${low.toFixed(3)}.`);
  }
}

/** Pixels as they lie in the file, which is how the model reads them: unturned. */
async function storedSize(body: Blob): Promise<{ width: number; height: number }> {
  const bitmap = await createImageBitmap(body, { imageOrientation: 'none' });
  const { width, height } = bitmap;
  bitmap.close();
  return { width, height };
}
