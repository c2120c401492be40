// What a page remembers of the device it runs on, from one visit to the next: in `localStorage`, and
// nowhere in a worker or on a server, which have none. Nothing here ever fails: a browser that refuses
// storage remembers nothing.

const PREFIX = 'jina-embeddings-web/device/';
/** Of one kind. A browser's version is part of many keys, so old ones pile up. */
const MOST_ENTRIES = 64;

/** What is remembered: a load that ended the page, the verdicts of self-tests. */
export type Kind = 'crash' | 'self-test' | 'kernels';

function storage(): Storage | undefined {
  try {
    return (globalThis as { localStorage?: Storage }).localStorage ?? undefined;
  } catch {
    return undefined;
  }
}

function attempt<T>(run: (store: Storage) => T): T | undefined {
  const store = storage();
  if (store === undefined) return undefined;
  try {
    return run(store);
  } catch {
    return undefined;
  }
}

/** Everything of a kind: keys and what was said of them. */
export function recallAll(kind: Kind): ReadonlyMap<string, string> {
  const prefix = `${PREFIX}${kind}/`;
  const found = new Map<string, string>();
  attempt((store) => {
    for (let i = 0; i < store.length; i++) {
      const name = store.key(i);
      if (name?.startsWith(prefix)) found.set(name.slice(prefix.length), store.getItem(name) ?? '');
    }
  });
  return found;
}

export function recall(kind: Kind, key: string): string | undefined {
  return attempt((store) => store.getItem(`${PREFIX}${kind}/${key}`)) ?? undefined;
}

export function remember(kind: Kind, key: string, value: string): void {
  attempt((store) => {
    const others = [...recallAll(kind).keys()].filter((known) => known !== key);
    if (others.length >= MOST_ENTRIES) for (const other of others) store.removeItem(`${PREFIX}${kind}/${other}`);
    store.setItem(`${PREFIX}${kind}/${key}`, value);
  });
}

export function forget(kind: Kind, key: string): void {
  attempt((store) => store.removeItem(`${PREFIX}${kind}/${key}`));
}

/**
 * Forgets what was remembered of this device: loads that ended the page, and self-tests that passed or
 * failed. The next `createEmbedder` tries it anew.
 */
export function forgetDevice(): void {
  attempt((store) => {
    const names = Array.from({ length: store.length }, (_, i) => store.key(i));
    for (const name of names) if (name?.startsWith(PREFIX)) store.removeItem(name);
  });
}
