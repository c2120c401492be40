// Loading the model: what it weighs is asked first, a heavy one waits for the visitor's word, and every step can be
// cancelled and tried again.
import { availability, createEmbedder } from 'jina-embeddings-web';
import type { DeviceKind, Embedder, EmbedderInfo, ProgressEvent } from 'jina-embeddings-web';
import { isAbort } from './errors';

export type DeviceChoice = 'auto' | 'webgpu' | 'wasm';
export type Stage = 'prepare' | 'download' | 'upload' | 'compile';
export const STAGES: readonly Stage[] = ['prepare', 'download', 'upload', 'compile'];

/** What can be known of a model before its weights are there. */
export interface Preview { name: string; licence: string | undefined; n_bytes: number | undefined; device: DeviceKind | null }

export interface Progress { stage: Stage; percent: number; loaded: number; total: number | undefined; file: string | undefined }

export type LoadState =
  | { at: 'idle' }
  | { at: 'asking'; preview: Preview }
  | { at: 'loading'; preview: Preview | undefined; progress: Progress }
  | { at: 'ready'; embedder: Embedder; took_ms: number; stages_ms: ReadonlyMap<Stage, number> }
  | { at: 'cancelled' }
  | { at: 'failed'; error: unknown };

/** Heavier models are not downloaded before the visitor has seen their size and licence. */
const ASK_ABOVE_BYTES = 100e6;

/** Fires `change` whenever `state` changes. */
export class Model extends EventTarget {
  readonly url: string;
  state: LoadState = { at: 'idle' };
  #device: DeviceChoice = 'auto';
  #loading: AbortController | undefined;
  #agreed = false;

  constructor(url: string) {
    super();
    this.url = url;
  }

  get info(): EmbedderInfo | undefined {
    return this.state.at === 'ready' ? this.state.embedder.info : undefined;
  }

  /** Loads, or loads anew on another device; a load under way is cancelled first. */
  async load(device: DeviceChoice = this.#device): Promise<void> {
    this.#device = device;
    this.#loading?.abort();
    const loading = this.#loading = new AbortController();
    const { signal } = loading;
    const clock = new StageClock();
    const show = (state: LoadState): void => { if (loading === this.#loading) this.#set(state); };
    const advance = (progress: Progress, preview?: Preview): void => {
      clock.enter(progress.stage);
      show({ at: 'loading', preview, progress });
    };
    try {
      await this.#unload();
      advance({ stage: 'prepare', percent: 0, loaded: 0, total: undefined, file: undefined });
      const preview = await this.#preview(signal);
      if ((preview.n_bytes ?? 0) > ASK_ABOVE_BYTES && !this.#agreed) return show({ at: 'asking', preview });
      const tracker = new ProgressTracker(preview.n_bytes);
      const embedder = await createEmbedder({
        model: this.url, device, signal,
        onLicence: () => undefined, // the panel and the facts tell it
        onProgress: (event) => advance(tracker.take(event), preview),
      });
      if (signal.aborted) return void embedder.dispose();
      show({ at: 'ready', embedder, ...clock.stop() });
    } catch (error) {
      show(isAbort(error) ? { at: 'cancelled' } : { at: 'failed', error });
    }
  }

  /** The visitor's word that a heavy model may be downloaded. */
  agree(): Promise<void> {
    this.#agreed = true;
    return this.load();
  }

  cancel(): void { this.#loading?.abort(); }

  /** An error while embedding ended the model: it is let go, and `load` starts again. */
  async fail(error: unknown): Promise<void> {
    if (this.state.at !== 'ready') return;
    const unloaded = this.#unload();
    this.#set({ at: 'failed', error });
    await unloaded;
  }

  async #unload(): Promise<void> {
    if (this.state.at !== 'ready') return;
    const { embedder } = this.state;
    this.#set({ at: 'idle' });
    await embedder.dispose().catch(() => undefined); // a lost device cannot be let go in good order
  }

  async #preview(signal: AbortSignal): Promise<Preview> {
    const [possible, card] = await Promise.all([
      availability({ model: this.url, device: this.#device, signal }),
      modelCard(this.url, signal),
    ]);
    return {
      name: card.name ?? lastSegment(this.url),
      licence: card.licence,
      n_bytes: possible.download?.nBytes ?? undefined,
      device: possible.device,
    };
  }

  #set(state: LoadState): void {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}

/** Turns the package's events, which come file by file, into one stage and one figure that never falls. */
class ProgressTracker {
  #total: number | undefined;
  #loaded = 0;
  #percent = 0;
  #files = new Map<string, number>();

  constructor(n_bytes: number | undefined) { this.#total = n_bytes; }

  take(event: ProgressEvent): Progress {
    const file = 'file' in event ? event.file : undefined;
    if (event.status === 'progress') {
      this.#files.set(event.file, event.loaded);
      this.#loaded = Math.max(this.#loaded, [...this.#files.values()].reduce((sum, n) => sum + n, 0));
    } else if (event.status === 'progress_total') {
      this.#loaded = Math.max(this.#loaded, event.loaded);
      this.#total = event.total;
      this.#percent = Math.max(this.#percent, event.progress);
    } else if (event.status === 'compile' || event.status === 'ready') {
      this.#percent = 100;
    }
    if (this.#total) this.#percent = Math.max(this.#percent, Math.min(100, (100 * this.#loaded) / this.#total));
    return { stage: STAGE_OF[event.status], percent: this.#percent, loaded: this.#loaded, total: this.#total, file };
  }
}

const STAGE_OF: Record<ProgressEvent['status'], Stage> = {
  licence: 'prepare', initiate: 'download', download: 'download', progress: 'download', done: 'download', progress_total: 'download',
  uncached: 'download', upload: 'upload', compile: 'compile', selftest: 'compile', ready: 'compile',
};

/** How long each stage took. Download and upload take turns, so each stage sums its stretches. */
class StageClock {
  #started = performance.now();
  #since = this.#started;
  #stage: Stage = 'prepare';
  #sums = new Map<Stage, number>();

  enter(stage: Stage): void {
    const now = performance.now();
    this.#sums.set(this.#stage, (this.#sums.get(this.#stage) ?? 0) + now - this.#since);
    this.#since = now;
    this.#stage = stage;
  }

  stop(): { took_ms: number; stages_ms: ReadonlyMap<Stage, number> } {
    this.enter(this.#stage);
    return { took_ms: performance.now() - this.#started, stages_ms: this.#sums };
  }
}

/** Name and licence from the directory's `model.json`; nothing where there is none: loading tells what is wrong. */
async function modelCard(url: string, signal: AbortSignal): Promise<{ name?: string; licence?: string }> {
  if (/\.gguf$/i.test(new URL(url, location.href).pathname)) return {};
  try {
    const response = await fetch(`${url.replace(/\/$/, '')}/model.json`, { signal });
    const card: unknown = response.ok ? await response.json() : undefined;
    const text = (key: string): string | undefined => {
      const value = (card as Record<string, unknown> | undefined)?.[key];
      return typeof value === 'string' ? value : undefined;
    };
    const name = text('name'), licence = text('licence');
    return { ...(name && { name }), ...(licence && { licence }) };
  } catch (error) {
    if (isAbort(error)) throw error;
    return {};
  }
}

function lastSegment(url: string): string {
  return new URL(url, location.href).pathname.split('/').filter(Boolean).at(-1) ?? url;
}
