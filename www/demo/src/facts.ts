// Device, model, timings and memory, as a list of names and values.
import type { EmbedderInfo, MemoryUse } from 'jina-embeddings-web';
import { el } from './dom';
import { bytes, duration } from './format';
import type { Kind, Pace } from './library';
import type { LoadState } from './model';

export interface Measured {
  pace: Record<Kind, Pace>;
  query_ms: { embed: number; search: number } | undefined;
  memory: MemoryUse | undefined;
}

export function showFacts(state: LoadState, measured: Measured): void {
  const pill = el('device-pill');
  pill.hidden = state.at !== 'ready';
  if (state.at !== 'ready') return el('facts').replaceChildren();
  const { info } = state.embedder;
  pill.dataset['kind'] = info.device;
  pill.textContent = `${info.device === 'webgpu' ? 'WebGPU' : 'CPU'} · ${info.model.name}`;

  const stages = [...state.stages_ms].filter(([stage, ms]) => stage !== 'prepare' && ms >= 1).map(([stage, ms]) => `${stage} ${duration(ms)}`.replaceAll(' ', '\u00a0'));
  const facts: Array<[name: string, value: string, more?: string | undefined]> = [
    ['Model', info.model.name],
    ['Licence', info.model.licence ?? 'not stated'],
    ['Weights', bytes(info.model.nBytes)],
    ['Device', deviceName(info)],
    ['Loaded in', duration(state.took_ms), stages.join(', ')],
    ['Per picture', paceText(measured.pace.picture)],
    ['Per passage', paceText(measured.pace.passage)],
    ['Last query', measured.query_ms === undefined ? '–' : `${duration(measured.query_ms.embed)} + ${duration(measured.query_ms.search)}`, measured.query_ms && 'embedding + search'],
  ];
  const { memory } = measured;
  if (memory) {
    if (info.device === 'webgpu') facts.push(['GPU memory', bytes(memory.gpu)]);
    facts.push(['Wasm memory', bytes(memory.wasm)]);
  }
  el('facts').replaceChildren(...facts.flatMap(([name, value, more]) => {
    const term = document.createElement('dt'), detail = document.createElement('dd');
    term.textContent = name;
    detail.textContent = value;
    if (more) {
      const small = document.createElement('small');
      small.textContent = more;
      detail.append(document.createElement('br'), small);
    }
    return [term, detail];
  }));
}

function deviceName({ device, adapter }: EmbedderInfo): string {
  if (device === 'wasm') return 'CPU (WebAssembly)';
  const name = adapter.description || adapter.name || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'GPU';
  return adapter.isFallbackAdapter ? `${name} (software)` : name;
}

function paceText({ n, total_ms }: Pace): string {
  return n === 0 ? '–' : duration(total_ms / n);
}
