// The cards on the table. Each item keeps its element, so that a new order moves cards instead of rebuilding them.
import type { Ranked } from './rank';
import type { Item } from './table';

const MOVE_MS = 320;
const SMALL_PICTURE_PX = 128;

export interface Laid { item: Item; place?: { rank: number; score: number; share: number } }

/** Items in ranked order; `share` is where the score lies between the worst and the best shown, for the bar. */
export function laidByRank(ranked: readonly Ranked[]): Laid[] {
  const best = ranked[0]?.score ?? 0, worst = ranked.at(-1)?.score ?? 0;
  const range = best - worst || 1;
  return ranked.map(({ item, score }, i) => (
    { item, place: { rank: i + 1, score, share: best === worst ? 1 : (score - worst) / range } }
  ));
}

export class Cards {
  #list: HTMLElement;
  #onRemove: (id: number) => void;
  #cards = new Map<number, Card>();
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(list: HTMLElement, onRemove: (id: number) => void) {
    this.#list = list;
    this.#onRemove = onRemove;
  }

  show(laid: readonly Laid[]): void {
    const wanted = laid.map((each) => {
      let card = this.#cards.get(each.item.id);
      if (!card) this.#cards.set(each.item.id, card = new Card(each.item, this.#onRemove));
      card.update(each);
      return card.element;
    });
    const ids = new Set(laid.map(({ item }) => item.id));
    for (const id of this.#cards.keys()) if (!ids.has(id)) this.#cards.delete(id);
    this.#arrange(wanted);
  }

  /** First, last, invert, play: cards slide from where they were to where they are now. */
  #arrange(wanted: readonly HTMLElement[]): void {
    const current = this.#list.children;
    if (current.length === wanted.length && wanted.every((element, i) => current[i] === element)) return;
    const before = new Map(Array.from(current, (element) => [element, element.getBoundingClientRect()]));
    const focused = document.activeElement;
    this.#list.replaceChildren(...wanted);
    if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus({ preventScroll: true });
    if (this.#still.matches) return;
    for (const element of wanted) {
      const from = before.get(element), to = element.getBoundingClientRect();
      if (!from) {
        element.animate([{ opacity: 0 }, { opacity: 1 }], { duration: MOVE_MS / 2 });
      } else if (from.left !== to.left || from.top !== to.top) {
        const shift = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
        element.animate([{ transform: shift }, { transform: 'none' }], { duration: MOVE_MS, easing: 'cubic-bezier(.2, .7, .2, 1)' });
      }
    }
  }
}

class Card {
  readonly element = make('li', 'card');
  #face = make('div', 'face');
  #rank = make('span', 'rank');
  #name = make('span', 'name');
  #score = make('span', 'score');
  #meter = make('div', 'meter');
  #shown_state = '';

  constructor(item: Item, onRemove: (id: number) => void) {
    const foot = make('div', 'foot'), remove = make('button', 'remove');
    this.element.dataset['kind'] = item.kind;
    this.#name.textContent = item.name;
    this.#name.title = item.name;
    if (item.kind === 'passage') this.#name.classList.add('sr-only');
    this.#meter.append(make('span'));
    this.#meter.ariaHidden = 'true';
    remove.type = 'button';
    remove.textContent = '×';
    remove.ariaLabel = `Remove ${item.name}`;
    remove.addEventListener('click', () => onRemove(item.id));
    foot.append(this.#rank, this.#name, this.#score);
    this.element.append(this.#face, foot, this.#meter, remove);
  }

  update({ item, place }: Laid): void {
    const { state } = item;
    const { element } = this;
    if (state.at !== this.#shown_state) {
      this.#face.replaceChildren(face(item));
      element.dataset['state'] = this.#shown_state = state.at;
    }
    if (place) element.dataset['rank'] = String(place.rank);
    else delete element.dataset['rank'];
    this.#rank.textContent = place ? String(place.rank) : '';
    this.#rank.hidden = !place;
    this.#score.textContent = place ? place.score.toFixed(4) : LABELS[state.at];
    this.#score.hidden = this.#score.textContent === '';
    this.#score.title = place ? 'Cosine similarity to the query' : '';
    const bar = this.#meter.firstElementChild as HTMLElement;
    bar.style.transform = place ? `scaleX(${Math.max(place.share, 0.015).toFixed(3)})` : '';
    this.#meter.hidden = !place && state.at !== 'embedding';
  }
}

const LABELS: Record<Item['state']['at'], string> = { waiting: 'Waiting', embedding: 'Embedding', ready: '', failed: 'Not indexed' };

function face(item: Item): HTMLElement {
  if (item.state.at === 'failed') {
    const problem = make('div', 'problem'), title = make('strong'), text = make('span'), code = make('code');
    title.textContent = item.kind === 'picture' ? 'This picture cannot be used' : 'This passage cannot be used';
    text.textContent = item.state.message;
    code.textContent = item.state.code;
    problem.append(title, text, code);
    return problem;
  }
  if (item.kind === 'passage') {
    const quote = make('blockquote');
    quote.dir = 'auto';
    quote.textContent = item.text ?? '';
    return quote;
  }
  const image = make('img');
  image.alt = item.name;
  image.decoding = 'async';
  image.addEventListener('load', () => image.classList.toggle('small', image.naturalWidth < SMALL_PICTURE_PX));
  image.src = item.preview ?? '';
  return image;
}

function make<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, className = ''): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}
