// A load that ends the whole page leaves nobody to report it. So each load leaves a mark in storage, and
// takes it away however it ends: a mark that is found, and whose page is gone, tells of a crash. The storage
// is `localStorage`, which a page that is being left can still write; without it nothing is remembered.
//
//   mark ─► load ─► done, failed, cancelled, page left ─► unmark
//                └► (page killed)                          the mark stays; its lock is gone with the page

import type { WireModel } from '../worker/protocol.js';

/** A load that ended the page it ran in. */
export interface Crash {
  /** When it began: ISO 8601. */
  readonly since: string;
}

const LOCK = 'jina-embeddings-web/loading/';
const MARK = 'jina-embeddings-web/crash/';

/** Loads under way in this page, by the id of their mark. */
const underWay = new Set<string>();

interface Mark {
  readonly id: string;
  readonly since: string;
}

/** What a model is called in storage. */
export function modelKey(model: WireModel): string {
  if (model.kind === 'directory') return model.url;
  return model.files.map(({ name, source }) => ('url' in source ? source.url : name)).join(' ');
}

/** Tells whether the last load of this model ended its page, and no other tab is at it now. */
export async function crashOf(key: string): Promise<Crash | undefined> {
  const mark = read(key);
  if (mark === undefined || underWay.has(mark.id) || (await isHeld(LOCK + mark.id))) return undefined;
  return { since: mark.since };
}

/** Runs `load` under a mark. */
export async function marked<T>(key: string, load: () => Promise<T>): Promise<T> {
  const mark: Mark = { id: newId(), since: new Date().toISOString() };
  underWay.add(mark.id);
  const release = hold(LOCK + mark.id);
  attempt((store) => store.setItem(MARK + key, JSON.stringify(mark)));
  const unmark = (): void => {
    // Another tab may have begun a load of its own meanwhile.
    if (read(key)?.id === mark.id) attempt((store) => store.removeItem(MARK + key));
  };
  const page = globalThis as Partial<EventTarget>;
  page.addEventListener?.('pagehide', unmark);
  try {
    return await load();
  } finally {
    unmark();
    underWay.delete(mark.id);
    page.removeEventListener?.('pagehide', unmark);
    release();
  }
}

/** Takes every mark away. */
export function forgetCrashes(): void {
  attempt((store) => {
    const names = Array.from({ length: store.length }, (_, i) => store.key(i));
    for (const name of names) if (name?.startsWith(MARK)) store.removeItem(name);
  });
}

function read(key: string): Mark | undefined {
  return attempt((store) => {
    const { id, since } = JSON.parse(store.getItem(MARK + key) ?? '{}') as Partial<Mark>;
    return typeof id === 'string' && typeof since === 'string' ? { id, since } : undefined;
  });
}

/** Does something with the storage; a browser that refuses it, or what lies in it, is no failure of a load. */
function attempt<T>(run: (store: Storage) => T): T | undefined {
  try {
    const store = (globalThis as { localStorage?: Storage }).localStorage;
    return store === undefined ? undefined : run(store);
  } catch {
    return undefined;
  }
}

function locks(): LockManager | undefined {
  return (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
}

/** Holds a lock until the function returned is called, or the page ends. */
function hold(name: string): () => void {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  // Without locks two tabs that load at once may take each other for a crash.
  locks()?.request(name, () => held).catch(() => undefined);
  return release;
}

async function isHeld(name: string): Promise<boolean> {
  try {
    const { held = [], pending = [] } = (await locks()?.query()) ?? {};
    return [...held, ...pending].some((lock) => lock.name === name);
  } catch {
    return false;
  }
}

function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}
