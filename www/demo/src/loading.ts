// The panel that tells how loading goes, and asks or explains where it cannot go on by itself.
import { codeOf, messageOf, sentenceFor } from './errors';
import { bytes } from './format';
import { STAGES } from './model';
import type { LoadState, Model, Progress, Stage } from './model';
import { el, setText } from './dom';

const STAGE_NAMES: Record<Stage, string> = { prepare: 'Prepare', download: 'Download', upload: 'Upload to the device', compile: 'Compile' };

export class LoadingPanel {
  #panel = el('load');
  #start = el('load-start');
  #cancel = el('load-cancel');
  #model: Model;

  constructor(model: Model) {
    this.#model = model;
    el('load-stages').replaceChildren(...STAGES.map((stage) => {
      const item = document.createElement('li');
      item.textContent = STAGE_NAMES[stage];
      return item;
    }));
    this.#start.addEventListener('click', () => void (model.state.at === 'asking' ? model.agree() : model.load()));
    this.#cancel.addEventListener('click', () => model.cancel());
    model.addEventListener('change', () => this.#show(model.state));
    this.#show(model.state);
  }

  #show(state: LoadState): void {
    this.#panel.hidden = state.at === 'ready' || state.at === 'idle';
    this.#panel.dataset['state'] = state.at;
    el('load-progress').hidden = state.at !== 'loading';
    const wasFocused = document.activeElement === this.#start || document.activeElement === this.#cancel;
    this.#cancel.hidden = state.at !== 'loading';
    this.#start.hidden = state.at === 'loading';
    if (wasFocused) (state.at === 'loading' ? this.#cancel : this.#start).focus();
    el('load-code').hidden = state.at !== 'failed';
    switch (state.at) {
      case 'asking': {
        const { name, licence, n_bytes, device } = state.preview;
        setText('load-title', `${name} is ${bytes(n_bytes ?? 0)} to download`);
        const terms = licence ? `Licence of the weights: ${licence}.` : 'It states no licence; ask whoever made it.';
        const slow = device === 'wasm' ? ' Without WebGPU it would run on the CPU, where a model of this size is very slow or does not fit.' : '';
        setText('load-detail', terms + slow);
        setText(this.#start, 'Load the model');
        break;
      }
      case 'loading':
        setText('load-title', `Loading ${state.preview?.name ?? 'the model'}`);
        setText('load-detail', progressText(state.progress));
        this.#showProgress(state.progress);
        break;
      case 'cancelled':
        setText('load-title', 'Loading was cancelled');
        setText('load-detail', 'Nothing was kept. Pictures and passages stay on the table.');
        setText(this.#start, 'Load the model');
        break;
      case 'failed':
        setText('load-title', sentenceFor(state.error));
        setText('load-detail', messageOf(state.error));
        setText('load-code', `${codeOf(state.error)} · ${this.#model.url}`);
        setText(this.#start, 'Try again');
        break;
    }
  }

  #showProgress({ stage, percent }: Progress): void {
    const bar = el('load-bar');
    bar.ariaValueNow = percent.toFixed(0);
    (bar.firstElementChild as HTMLElement).style.width = `${percent.toFixed(1)}%`;
    const now = STAGES.indexOf(stage);
    for (const [i, item] of Array.from(el('load-stages').children).entries()) {
      (item as HTMLElement).dataset['state'] = i < now ? 'done' : i === now ? 'now' : 'next';
    }
  }
}

function progressText({ stage, loaded, total, file }: Progress): string {
  if (stage === 'prepare') return 'Looking at this device and at the model.';
  if (stage === 'compile') return 'Making the model ready on the device.';
  const amount = total ? `${bytes(loaded)} of ${bytes(total)}` : bytes(loaded);
  return file ? `${amount} · ${file}` : amount;
}
