// The page: a table of pictures and passages, one search field over both, and the model that ranks them.
//   ?model=URL   model directory or GGUF file (default: /models/tiny)
//   ?device=auto|webgpu|wasm
import { Cards, laidByRank } from './cards';
import { el, setText } from './dom';
import { sentenceFor } from './errors';
import { showFacts } from './facts';
import { count, duration } from './format';
import { Indexer } from './indexer';
import { wireIntake } from './intake';
import { LoadingPanel } from './loading';
import { Model } from './model';
import type { DeviceChoice } from './model';
import { Query } from './query';
import { rank } from './rank';
import type { Filter } from './rank';
import { layOutSamples } from './samples';
import { Table } from './table';
import type { MemoryUse } from 'jina-embeddings-web';

const DEFAULT_MODEL = '/models/tiny';
/** How `convert` names models made of random numbers. */
const RANDOM_MODEL = /^tiny-random/;
const MEMORY_PAUSE_MS = 1000;

const parameters = new URLSearchParams(location.search);
const model = new Model(new URL(parameters.get('model') ?? DEFAULT_MODEL, location.href).href);
const table = new Table();
const fail = (error: unknown): void => void model.fail(error);
const indexer = new Indexer(table, fail);
const query = new Query(fail);
const cards = new Cards(el('results'), (id) => table.remove(id));
const field = el<HTMLInputElement>('query');
const device = el<HTMLSelectElement>('device');
let filter: Filter = 'all';
let memory: MemoryUse | undefined;
/** The space of the vectors on the table. */
let space: string | undefined;

function show(): void {
  const vector = query.vector;
  const shown = vector
    ? laidByRank(rank(table.items, vector, filter))
    : table.items.filter(({ kind }) => filter === 'all' || kind === filter).map((item) => ({ item }));
  // What failed or still waits has no rank, and stays in sight below what has one.
  const unranked = vector
    ? table.items.filter(({ kind, state }) => state.at !== 'ready' && (filter === 'all' || kind === filter)).map((item) => ({ item }))
    : [];
  cards.show([...shown, ...unranked]);
  const { total, waiting } = table.counts();
  el('empty').hidden = total > 0;
  el('clear').hidden = total === 0;
  el('stop').hidden = !indexer.running || indexer.stopped;
  el('resume').hidden = !indexer.stopped || waiting === 0;
  setText('status', statusText());
  showFacts(model.state, { pace: indexer.pace, query_ms: query.answer.at === 'ready' ? query.answer.took_ms : undefined, memory });
}

function statusText(): string {
  const { total, ready, waiting, failed } = table.counts();
  const parts: string[] = [];
  const { answer } = query;
  if (answer.at === 'failed') parts.push(`“${answer.text}”: ${answer.message}`);
  else if (answer.at === 'ready') parts.push(`Ranked in ${duration(answer.took_ms)}.`);
  else if (answer.at === 'pending') parts.push(model.state.at === 'ready' ? 'Searching…' : 'The search starts when the model is ready.');
  if (waiting > 0 && model.state.at !== 'ready') parts.push(`${count(waiting, 'item waits', 'items wait')} for the model.`);
  else if (waiting > 0) parts.push(`${indexer.stopped ? 'Stopped' : 'Indexing'}: ${ready} of ${total} done.`);
  else if (total > 0) parts.push(`${count(ready, 'item')} indexed.`);
  if (failed > 0) parts.push(`${count(failed, 'item')} could not be indexed.`);
  return parts.join(' ');
}

/** Speaks milestones only: the visible status changes with every item. */
function announce(sentence: string): void { setText('announce', sentence); }

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
  if (model.state.at !== 'ready') return;
  memory = await model.state.embedder.memory().catch(() => undefined);
  changed();
}

function modelChanged(): void {
  const { state, info } = model;
  const embedder = state.at === 'ready' ? state.embedder : undefined;
  if (info) {
    if (space !== undefined && space !== info.space) table.forgetVectors();
    space = info.space;
    memory = info.memory;
  }
  indexer.use(embedder);
  query.use(embedder);
  el('random-notice').hidden = !(info && RANDOM_MODEL.test(info.model.name));
  const reason = info?.deviceFallback;
  el('cpu-notice').hidden = !reason;
  if (reason) setText('cpu-notice', cpuNotice(reason.code));
  if (info) announce(`${info.model.name} is ready on the ${info.device === 'webgpu' ? 'GPU' : 'CPU'}.`);
  else if (state.at === 'failed') announce(sentenceFor(state.error));
  changed();
}

function cpuNotice(code: string): string {
  const why = code === 'NO_ADAPTER' ? 'WebGPU found no graphics device here' : 'This browser has no WebGPU';
  return `${why}, so the model runs on the CPU, which is slower. A model of the full size needs WebGPU.`;
}

model.addEventListener('change', (() => {
  let before: string | undefined;
  return () => {
    if (model.state.at !== before) modelChanged(); // progress within one state concerns the loading panel only
    before = model.state.at;
  };
})());
table.addEventListener('change', changed);
indexer.addEventListener('change', () => {
  changed();
  const { ready, waiting } = table.counts();
  if (!indexer.running && waiting === 0 && ready > 0) {
    announce(`${count(ready, 'item')} indexed.`);
    void readMemory();
  }
});
query.addEventListener('change', () => {
  changed();
  if (query.answer.at === 'failed') announce(query.answer.message);
  if (query.answer.at !== 'ready' || !query.vector) return;
  const [first] = rank(table.items, query.vector, filter);
  if (first) announce(`Best match for “${query.answer.text}”: ${first.item.name}.`);
});

field.addEventListener('input', () => { query.text = field.value; });
document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof Element && event.target.closest('input, textarea, select');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
  } else if (event.key === 'Escape' && event.target === field) {
    field.value = '';
    query.text = '';
  }
});
for (const choice of document.querySelectorAll<HTMLInputElement>('input[name="filter"]')) {
  choice.addEventListener('change', () => {
    filter = choice.value as Filter;
    changed();
  });
}
el('stop').addEventListener('click', () => {
  indexer.stop();
  el('resume').hidden = false;
  el('resume').focus();
});
el('resume').addEventListener('click', () => {
  indexer.resume();
  field.focus();
});
el('clear').addEventListener('click', () => {
  table.clear();
  announce('The table is empty.');
  field.focus();
});
el('add-samples').addEventListener('click', () => void layOutSamples(table));
device.addEventListener('change', () => void model.load(device.value as DeviceChoice));

const wanted = parameters.get('device');
if (wanted === 'webgpu' || wanted === 'wasm') device.value = wanted;
setText('model-example', `${location.origin}${location.pathname}?model=/models/v4`);
new LoadingPanel(model);
wireIntake(table, announce);
setInterval(() => { if (document.visibilityState === 'visible' && indexer.running) void readMemory(); }, MEMORY_PAUSE_MS);
void layOutSamples(table);
void model.load(device.value as DeviceChoice);
changed();
