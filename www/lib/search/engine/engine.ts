// The calls of the page, and the one index that they are about (`opened.ts`).

import { EmbedderError } from '../../errors.js';
import type { LoadSearchFace } from '../face.js';
import { openStore } from '../store/index.js';
import type { Filter, Hit, IndexInfo, StoredDocument } from '../types.js';
import { lockName, Opened } from './opened.js';
import type { EngineCalls, ExplainRequest, ExportedItem, FindRequest, Known, OpenRequest, PutRequest } from './requests.js';
import { Turns } from './turns.js';

export class SearchEngine implements EngineCalls {
  readonly #load: LoadSearchFace;
  readonly #openStore: typeof openStore;
  readonly #tellChange: () => void;
  #opened: Opened | undefined;

  /** - `tellChange`: called when somebody else has committed */
  constructor(load: LoadSearchFace, tellChange: () => void, open: typeof openStore = openStore) {
    this.#load = load;
    this.#openStore = open;
    this.#tellChange = tellChange;
  }

  async open(request: OpenRequest): Promise<void> {
    if (this.#opened !== undefined) throw new EmbedderError('INTERNAL', 'The engine has an index open already');
    const face = await this.#load(request.wasm);
    const store = await this.#openStore(request.storage, request.name);
    const opened = new Opened(request, face, store, this.#tellChange);
    try {
      await opened.start();
    } catch (error) {
      opened.close();
      throw error;
    }
    this.#opened = opened;
  }

  async erase({ name, storage }: Pick<OpenRequest, 'name' | 'storage'>): Promise<void> {
    const store = await this.#openStore(storage, name);
    const lock = lockName(store.kind, name);
    try {
      await new Turns(lock).write(() => store.clear());
      if (lock === undefined || typeof BroadcastChannel === 'undefined') return;
      const channel = new BroadcastChannel(lock);
      channel.postMessage('commit');
      channel.close();
    } finally {
      store.close();
    }
  }

  get #index(): Opened {
    if (this.#opened === undefined) throw new EmbedderError('DISPOSED', 'The index is closed');
    return this.#opened;
  }

  known = async (ids: readonly string[]): Promise<(Known | null)[]> => this.#index.known(ids);
  put = async (request: PutRequest): Promise<void> => this.#index.put(request);
  remove = async (ids: readonly string[]): Promise<number> => this.#index.remove(ids);
  find = async (request: FindRequest): Promise<Hit[]> => this.#index.find(request);
  explain = async (request: ExplainRequest): ReturnType<EngineCalls['explain']> => this.#index.explain(request);
  grid = async (image: NonNullable<ExplainRequest['image']>): Promise<{ rows: number; columns: number }> => this.#index.grid(image);
  get = async (id: string): Promise<StoredDocument | undefined> => this.#index.get(id);
  list = async (request: { offset: number; limit: number; filter: Filter | undefined }): Promise<StoredDocument[]> => this.#index.list(request);
  count = async (filter: Filter | undefined): Promise<number> => this.#index.count(filter);
  info = async (): Promise<IndexInfo> => this.#index.info();
  items = async (request: { offset: number; limit: number }): Promise<ExportedItem[]> => this.#index.items(request);
  compact = async (): Promise<void> => this.#index.compact();
  clear = async (): Promise<void> => this.#index.clear();
  exportFile = async (): Promise<Blob> => this.#index.exportFile();
  importFile = async (file: Blob): Promise<void> => this.#index.importFile(file);

  async close(): Promise<void> {
    await this.#opened?.settle();
    this.#opened?.close();
    this.#opened = undefined;
  }
}
