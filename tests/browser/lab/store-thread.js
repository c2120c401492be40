// A worker that keeps pieces by the package's thread for that, as its engine does, and tells what came of it.
import { openWeightStore, StoreThread } from '/jina-embeddings-web/weights.js';

const PIECE_BYTES = 2 << 20;
const pieceOf = (factor) => Uint8Array.from({ length: PIECE_BYTES }, (_, i) => (i * factor) >> 3);
const isSame = (a, b) => a !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
const messageOf = (promise) => promise.then(() => 'no failure', ({ message }) => message);

/** Whether pieces are kept where the worker's script is missing. */
async function withoutScript(store) {
  const Real = globalThis.Worker;
  globalThis.Worker = class extends Real { constructor(_, options) { super('missing.js', options); } };
  const thread = StoreThread.over(store);
  const ready = await thread.ready;
  const piece = pieceOf(7);
  const back = await thread.lend('piece', piece);
  const kept = isSame(back, pieceOf(7)) && isSame(await thread.get('piece', new Uint8Array(PIECE_BYTES)), pieceOf(7));
  await thread.delete('piece');
  return { ready, kept };
}

onmessage = async ({ data }) => {
  if (data === 'without script') return postMessage(await withoutScript(await openWeightStore('opfs')));
  const store = await openWeightStore('opfs');
  const thread = StoreThread.over(store);
  const found = { ready: await thread.ready };
  const names = Array.from({ length: 12 }, (_, i) => `piece-${i}`);
  const pieces = names.map((_, i) => pieceOf(2 * i + 1));
  const given = pieces.map((piece) => piece.slice());
  const back = await Promise.all(names.map((name, i) => thread.lend(name, given[i])));
  found.taken = given.every(({ length }) => length === 0);
  found.givenBack = back.every((bytes, i) => isSame(bytes, pieces[i]));
  found.listed = (await thread.names()).filter((name) => names.includes(name)).length;
  const rooms = names.map(() => new Uint8Array(PIECE_BYTES));
  const read = await Promise.all(names.map((name, i) => thread.get(name, rooms[i])));
  found.read = read.every((bytes, i) => isSame(bytes, pieces[i]));
  found.sameForAll = isSame(await store.get(names[3]), pieces[3]);
  const room = new Uint8Array(PIECE_BYTES);
  found.missing = (await thread.get('piece-none', room)) === undefined;
  found.refused = await messageOf(thread.lend('no/name', pieceOf(3)));
  found.goesOn = isSame(await thread.lend(names[0], pieceOf(9)), pieceOf(9)) && isSame(await thread.get(names[0]), pieceOf(9));
  const cut = messageOf(thread.lend(names[1], pieceOf(5)));
  thread.close();
  found.cut = await cut;
  found.afterwards = isSame(await thread.get(names[2], new Uint8Array(PIECE_BYTES)), pieces[2]);
  for (const name of names) await thread.delete(name);
  found.left = (await store.names()).filter((name) => names.includes(name)).length;
  postMessage(found);
};
