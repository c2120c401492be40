// The page: a table of pictures and passages, one search field over both, and the model that ranks them.
//   ?model=URL   model directory or GGUF file (default: config.ts)
//   ?device=auto|webgpu|wasm
import type { MemoryUse } from 'jina-embeddings-web';
import type { Hit, SearchMode } from 'jina-embeddings-web/search';
import { Cards, type Laid } from './cards';
import { LANGUAGES, QUERIES, samples, type Language } from './collection';
import { DEFAULT_MODEL, hasLearnt, MAX_SHOWN } from './config';
import { el, setText } from './dom';
import { sentenceFor } from './errors';
import { showFacts } from './facts';
import { count, duration } from './format';
import { wireIntake } from './intake';
import { Library } from './library';
import type { Item } from './library';
import { LoadingPanel } from './loading';
import { Model } from './model';
import type { DeviceChoice } from './model';
import { Search } from './search';
import type { Shown } from './search';
import { Shelf } from './shelf';
import { showStorage, wireStorage } from './storage';
import { Why } from './why';

const MEMORY_PAUSE_MS = 1000;

const parameters = new URLSearchParams(location.search);
const model = new Model(new URL(parameters.get('model') ?? DEFAULT_MODEL, location.href).href);
const fail = (error: unknown): void => void model.fail(error);
const library = new Library(await Shelf.open(), fail);
const search = new Search(library, fail);
const why = new Why(library);
const field = el<HTMLInputElement>('query');
const device = el<HTMLSelectElement>('device');
const cards = new Cards(el('results'), {
  remove: (id) => void library.remove(id),
  similar: (id) => void findSimilar(id),
  why: (id) => { if ('text' in search.asked) void why.show(id, search.asked.text, model.info?.model.name ?? ''); },
});
let memory: MemoryUse | undefined;
/** Until what is kept has been read and, on a first visit, the samples lie there, the table is not called empty. */
let laying_out = true;

function show(): void {
  const { answer } = search;
  const hits = answer.at === 'ready' || answer.at === 'pending' ? answer.hits : undefined;
  const shown = ({ entry }: Item): boolean => search.shown === 'all' || entry.kind === search.shown;
  const ranked = hits ? laidByRank(hits) : [];
  const has_rank = new Set(ranked.map(({ item }) => item.entry.id));
  // What failed or still waits has no rank, and stays in sight below what has one.
  const rest = library.items.filter((item) => shown(item) && !has_rank.has(item.entry.id));
  el('results').dataset['searched'] = String(hits !== undefined);
  cards.show([...ranked, ...rest.slice(0, MAX_SHOWN).map((item) => ({ item }))], model.info !== undefined && model.info.model.projectorDim !== null && 'text' in search.asked);
  const { total, waiting } = library.counts();
  el('empty').hidden = total > 0 || laying_out;
  el('results').ariaBusy = String(laying_out);
  el('clear').hidden = total === 0;
  el('stop').hidden = !library.running || library.stopped;
  el('resume').hidden = !library.stopped || waiting === 0;
  setText('status', statusText());
  showFacts(model.state, { pace: library.pace, query_ms: answer.at === 'ready' ? { embed: answer.embed_ms, search: answer.took_ms - answer.embed_ms } : undefined, memory });
}

function laidByRank(hits: readonly Hit[]): Laid[] {
  const trained = hasLearnt(model.info?.model.name ?? '');
  const mode = search.answer.at === 'ready' ? search.answer.mode : search.mode;
  const present = hits.flatMap((hit) => {
    const item = library.item(hit.id);
    // What only a random model's vectors found has no place worth telling.
    const counts = trained || mode === 'vector' || hit.scores.keyword !== undefined;
    return counts && item && (search.shown === 'all' || item.entry.kind === search.shown) ? [{ item, hit }] : [];
  });
  const best = present[0]?.hit.score ?? 0, worst = present.at(-1)?.hit.score ?? 0;
  return present.map(({ item, hit }, i) => ({ item, place: { rank: i + 1, hit, share: best === worst ? 1 : (hit.score - worst) / (best - worst), ...scoreText(hit, mode, trained) } }));
}

/** Of a random model a similarity is told only where it was asked for. */
function scoreText({ scores }: Hit, mode: SearchMode, trained: boolean): { score: string; score_title: string } {
  const words = { score: 'words', score_title: 'Found by its words' };
  if (mode === 'vector' || (trained && scores.vector !== undefined)) return { score: scores.vector?.toFixed(4) ?? '', score_title: 'Cosine similarity to the query' };
  return scores.keyword !== undefined ? words : { score: '', score_title: '' };
}

function statusText(): string {
  const { total, ready, waiting, failed } = library.counts();
  const parts: string[] = [];
  const { answer } = search;
  if (answer.at === 'failed') parts.push(answer.message);
  else if (answer.at === 'ready') {
    const by_word = answer.hits.filter(({ scores }) => scores.keyword !== undefined).length;
    const matches = answer.mode === 'vector' ? '' : `${count(by_word, 'match', 'matches')} by words. `;
    parts.push(answer.preliminary ? `${matches}Comparing meanings…` : `${matches}Ranked in ${duration(answer.took_ms)}.`);
  } else if (answer.at === 'pending') parts.push(model.state.at === 'ready' ? 'Searching…' : 'The search starts when the model is ready.');
  if (waiting > 0 && model.state.at !== 'ready') parts.push(`${count(waiting, 'item waits', 'items wait')} for the model.`);
  else if (waiting > 0) parts.push(`${library.stopped ? 'Stopped' : 'Indexing'}: ${ready} of ${total} done.`);
  else if (total > 0) parts.push(`${count(ready, 'item')} indexed.`);
  if (failed > 0) parts.push(`${count(failed, 'item')} could not be indexed.`);
  return parts.join(' ');
}

/** Speaks milestones only: the visible status changes with every item. */
function announce(sentence: string): void { setText('announce', sentence); }

/** Of what the visitor did, what went otherwise than meant; it stays until the next such act. */
function tell(sentence: string): void { setText('told', sentence); }

// Many changes come at once (a drop of fifty files): one repaint for all of them.
let scheduled = false;
function changed(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    show();
  });
}

async function readMemory(): Promise<void> {
  void showStorage(library);
  if (model.state.at !== 'ready') return;
  memory = await model.state.embedder.memory().catch(() => undefined);
  changed();
}

function modelChanged(): void {
  const { state, info } = model;
  const embedder = state.at === 'ready' ? state.embedder : undefined;
  if (info) memory = info.memory;
  library.use(embedder);
  search.use(info?.model.name);
  el('random-notice').hidden = !(info && !hasLearnt(info.model.name));
  const reason = info?.deviceFallback;
  el('cpu-notice').hidden = !reason;
  if (reason) setText('cpu-notice', cpuNotice(reason.code));
  if (info) announce(`${info.model.name} is ready on the ${info.device === 'webgpu' ? 'GPU' : 'CPU'}.`);
  else if (state.at === 'failed') announce(sentenceFor(state.error));
  changed();
}

function cpuNotice(code: string): string {
  const reason = code === 'NO_ADAPTER' ? 'WebGPU found no graphics device here' : 'This browser has no WebGPU';
  return `${reason}, so the model runs on the CPU, which is slower. A model of the full size needs WebGPU.`;
}

model.addEventListener('change', (() => {
  let before: string | undefined;
  return () => {
    if (model.state.at !== before) modelChanged(); // progress within one state concerns the loading panel only
    before = model.state.at;
  };
})());
library.addEventListener('change', (() => {
  let n_ready = -1;
  let was_running = false;
  return () => {
    changed();
    const { ready, waiting } = library.counts();
    if (ready !== n_ready) search.ask(0, true); // what was indexed meanwhile takes its place
    n_ready = ready;
    if (was_running && !library.running && waiting === 0 && ready > 0) {
      announce(`${count(ready, 'item')} indexed.`);
      void readMemory();
    }
    was_running = library.running;
  };
})());
search.addEventListener('change', () => {
  changed();
  const { answer } = search;
  if (answer.at === 'failed') announce(answer.message);
  if (answer.at !== 'ready' || answer.preliminary) return;
  const found = laidByRank(answer.hits), [first] = found;
  announce(first ? `${count(found.length, 'result')}. Best: ${first.item.entry.name}.` : 'Nothing found.');
});

function setQuery(text: string): void {
  field.value = text;
  showPictureQuery(undefined);
  search.text = text;
}

let picture_query = '';
function showPictureQuery(picture: { image: Blob; name: string } | undefined): void {
  if (picture_query) URL.revokeObjectURL(picture_query);
  picture_query = picture ? URL.createObjectURL(picture.image) : '';
  el('picture-query').hidden = !picture;
  field.hidden = picture !== undefined;
  if (!picture) return;
  el<HTMLImageElement>('picture-query-image').src = picture_query;
  setText('picture-query-name', picture.name);
  search.image = picture;
}

async function findSimilar(id: string): Promise<void> {
  const item = library.item(id), image = await library.shelf.body(id);
  if (!item || !image) return;
  showPictureQuery({ image, name: item.entry.name });
  scrollTo({ top: 0 });
  el('picture-query-clear').focus();
}

field.addEventListener('input', () => { search.text = field.value; });
document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof Element && event.target.closest('input:not([type=radio]), textarea, select, dialog');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    if (field.hidden) setQuery('');
    field.focus();
  } else if (event.key === 'Escape' && (event.target === field || !el('picture-query').hidden)) {
    setQuery('');
    field.focus();
  }
});
for (const choice of document.querySelectorAll<HTMLInputElement>('input[name="filter"], input[name="mode"]')) {
  choice.addEventListener('change', () => {
    if (choice.name === 'filter') search.shown = choice.value as Shown;
    else search.mode = choice.value as SearchMode;
    search.ask(0);
    changed();
  });
}
el('picture-query-clear').addEventListener('click', () => {
  setQuery('');
  field.focus();
});
el('query-picture').addEventListener('change', () => {
  const chooser = el<HTMLInputElement>('query-picture'), [image] = chooser.files ?? [];
  if (image) showPictureQuery({ image, name: image.name });
  chooser.value = '';
});
el('search-by-picture').addEventListener('click', () => el('query-picture').click());
el('stop').addEventListener('click', () => {
  library.stop();
  el('resume').hidden = false;
  el('resume').focus();
});
el('resume').addEventListener('click', () => {
  library.resume();
  field.focus();
});
el('clear').addEventListener('click', () => {
  void library.clear();
  tell('');
  announce('The table is empty.');
  field.focus();
});
el('add-samples').addEventListener('click', () => void layOutSamples());
device.addEventListener('change', () => void model.load(device.value as DeviceChoice));

async function layOutSamples(): Promise<void> {
  laying_out = true;
  try {
    for (const { kind, name, body, language, names } of await samples()) {
      const more = { ...(language ? { language } : {}), ...(names ? { names } : {}) };
      if (kind === 'picture') await library.addPicture(body, name, more);
      else await library.addText(await body.text(), more);
    }
    await library.shelf.markLaidOut();
  } finally {
    laying_out = false;
    changed();
  }
}

/** Queries to try, in the language chosen. */
function wireQueries(): void {
  const language = el<HTMLSelectElement>('language'), list = el('queries');
  language.replaceChildren(...LANGUAGES.map(([code, name]) => {
    const option = new Option(name, code);
    option.lang = code;
    return option;
  }));
  const offer = (): void => {
    const code = language.value as Language;
    list.lang = code;
    list.replaceChildren(...QUERIES[code].map((text) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = text;
      button.dir = 'auto';
      button.addEventListener('click', () => setQuery(text));
      const item = document.createElement('li');
      item.append(button);
      return item;
    }));
  };
  language.addEventListener('change', offer);
  const own = navigator.language.split('-')[0];
  if (LANGUAGES.some(([code]) => code === own)) language.value = own as Language;
  offer();
}

const wanted = parameters.get('device');
if (wanted === 'webgpu' || wanted === 'wasm') device.value = wanted;
setText('model-example', `${location.origin}${location.pathname}?model=/models/v4`);
wireQueries();
new LoadingPanel(model);
wireIntake(library, tell);
wireStorage(library, tell);
setInterval(() => { if (document.visibilityState === 'visible' && library.running) void readMemory(); }, MEMORY_PAUSE_MS);
await library.restore();
if (await library.shelf.isNew()) void layOutSamples();
else laying_out = false;
void model.load(device.value as DeviceChoice);
changed();
void showStorage(library);
// In a private window, or where the page is framed, it may be refused; then the page needs the network.
void navigator.serviceWorker?.register('sw.js').catch(() => undefined);
