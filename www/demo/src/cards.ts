// The cards on the table. Each item keeps its element, so that a new order moves cards instead of rebuilding them.
import type { Hit, TextSpan } from 'jina-embeddings-web/search';
import type { Item } from './library';

const MOVE_MS = 320;
const SMALL_PICTURE_PX = 128;
/** The last one's bar is still to be seen. */
const MIN_SHARE = 0.05;

export interface Place { rank: number; hit: Hit; /** Where the score lies between the worst and the best shown, for the bar. */ share: number; score: string; score_title: string }
export interface Laid { item: Item; place?: Place | undefined }

export interface CardActions { remove(id: string): void; similar(id: string): void; why(id: string): void }

export class Cards {
  #list: HTMLElement;
  #actions: CardActions;
  #cards = new Map<string, Card>();
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(list: HTMLElement, actions: CardActions) {
    this.#list = list;
    this.#actions = actions;
  }

  /** `explains`: whether a ranked picture can say why. */
  show(laid: readonly Laid[], explains: boolean): void {
    const wanted = laid.map((each) => {
      const { id } = each.item.entry;
      let card = this.#cards.get(id);
      if (!card || card.item !== each.item) this.#cards.set(id, card = new Card(each.item, this.#actions));
      card.update(each, explains);
      return card.element;
    });
    const ids = new Set(laid.map(({ item }) => item.entry.id));
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
  readonly item: Item;
  readonly element = make('li', 'card');
  #face = make('div', 'face');
  #rank = make('span', 'rank');
  #name = make('span', 'name');
  #score = make('span', 'score');
  #meter = make('div', 'meter');
  #tools = make('div', 'tools');
  #similar = make('button', 'tool');
  #why = make('button', 'tool');
  #shown_face = '';

  constructor(item: Item, actions: CardActions) {
    this.item = item;
    const { id, name, kind, titled, language } = item.entry;
    const foot = make('div', 'foot'), remove = make('button', 'remove');
    this.element.dataset['kind'] = kind;
    this.#name.title = name;
    if (!titled) this.#name.classList.add('sr-only');
    if (language && language !== 'en') this.#name.lang = language;
    this.#meter.append(make('span'));
    this.#meter.ariaHidden = 'true';
    for (const [button, text, label, act] of [
      [this.#similar, 'Similar', `Search for what is similar to ${name}`, actions.similar],
      [this.#why, 'Why?', `Why? Show what of ${name} matched each word`, actions.why],
      [remove, '×', `Remove ${name}`, actions.remove],
    ] as const) {
      button.type = 'button';
      button.textContent = text;
      button.ariaLabel = label;
      button.addEventListener('click', () => act(id));
    }
    this.#tools.append(this.#why, this.#similar);
    foot.append(this.#rank, this.#name, this.#score);
    this.element.append(this.#face, foot, this.#meter, this.#tools, remove);
  }

  update({ item, place }: Laid, explains: boolean): void {
    const { state } = item;
    const { element } = this;
    const hit = place?.hit;
    // A face is made anew only where it looks otherwise: a picture would flicker.
    const look = JSON.stringify([state.at === 'failed' && state, hit && item.entry.kind === 'passage' ? [hit.passage.index, hit.passage.highlights] : 0]);
    if (look !== this.#shown_face) {
      this.#face.replaceChildren(face(item, hit));
      this.#shown_face = look;
    }
    element.dataset['state'] = state.at;
    marked(this.#name, item.entry.name, hit && item.entry.titled ? hit.titleHighlights : []);
    if (place) element.dataset['rank'] = String(place.rank);
    else delete element.dataset['rank'];
    this.#rank.textContent = place ? String(place.rank) : '';
    this.#rank.hidden = !place;
    this.#score.textContent = place ? place.score : LABELS[state.at];
    this.#score.hidden = this.#score.textContent === '';
    this.#score.title = place?.score_title ?? '';
    const bar = this.#meter.firstElementChild as HTMLElement;
    bar.style.transform = place ? `scaleX(${Math.max(place.share, MIN_SHARE).toFixed(3)})` : '';
    this.#meter.hidden = !place && state.at !== 'embedding';
    this.#similar.hidden = item.entry.kind !== 'picture' || state.at !== 'ready';
    this.#why.hidden = !(explains && place && item.entry.kind === 'picture');
    this.#tools.hidden = this.#similar.hidden && this.#why.hidden;
  }
}

const LABELS: Record<Item['state']['at'], string> = { waiting: 'Waiting', embedding: 'Embedding', ready: '', failed: 'Not indexed' };

function face(item: Item, hit: Hit | undefined): HTMLElement {
  const { entry, state } = item;
  if (state.at === 'failed') {
    const problem = make('div', 'problem'), title = make('strong'), text = make('span'), code = make('code');
    title.textContent = entry.kind === 'picture' ? 'This picture cannot be used' : 'This passage cannot be used';
    text.textContent = state.message;
    code.textContent = state.code;
    problem.append(title, text, code);
    return problem;
  }
  if (entry.kind === 'passage') {
    const quote = make('blockquote');
    quote.dir = 'auto';
    if (entry.language) quote.lang = entry.language;
    marked(quote, hit ? hit.passage.text : item.text, hit?.passage.highlights ?? []);
    return quote;
  }
  const image = make('img');
  image.alt = entry.name;
  image.decoding = 'async';
  image.addEventListener('load', () => image.classList.toggle('small', image.naturalWidth < SMALL_PICTURE_PX));
  image.src = item.preview;
  return image;
}

/** The text with the spans in `<mark>`. */
function marked(element: HTMLElement, text: string, spans: readonly TextSpan[]): void {
  const parts: (string | HTMLElement)[] = [];
  let at = 0;
  for (const { start, end } of spans) {
    const mark = make('mark');
    mark.textContent = text.slice(start, end);
    parts.push(text.slice(at, start), mark);
    at = end;
  }
  parts.push(text.slice(at));
  element.replaceChildren(...parts);
}

function make<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, className = ''): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}
