// A worker that keeps segments by the package's thread for that, as its engine does, and tells what came of it.
import { openWeightStore, StoreThread } from '/jina-embeddings-web/weights.js';

const PIECE_BYTES = 2 << 20;
const pieceOf = (factor) => Uint8Array.from({ length: PIECE_BYTES }, (_, i) => (i * factor) >> 3);
const isSame = (a, b) => a !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
const messageOf = (promise) => promise.then(() => 'no failure', ({ message }) => message);
const room = () => new Uint8Array(PIECE_BYTES);

/** Whether pieces are kept where the worker's script is missing. */
async function withoutScript(store) {
  const Real = globalThis.Worker;
  globalThis.Worker = class extends Real { constructor(_, options) { super('missing.js', options); } };
  const thread = StoreThread.over(store);
  const ready = await thread.ready;
  await thread.write('segment.new', 0, pieceOf(7));
  await thread.finish('segment.new', 'segment', PIECE_BYTES);
  const kept = isSame(await thread.read('segment', 0, room()), pieceOf(7));
  await thread.delete('segment');
  return { ready, kept };
}

/** Whether what this thread began before the worker ran is gone on with there. */
async function handedOver(store) {
  const thread = StoreThread.over(store);
  const early = [thread.write('early.new', 0, pieceOf(3)), thread.write('early.new', PIECE_BYTES, pieceOf(5))];
  const ready = await thread.ready;
  const late = thread.write('early.new', 2 * PIECE_BYTES, pieceOf(7));
  await Promise.all([...early, late]);
  await thread.finish('early.new', 'early', 3 * PIECE_BYTES);
  const found = await Promise.all([3, 5, 7].map((factor, i) => thread.read('early', i * PIECE_BYTES, room()).then((bytes) => isSame(bytes, pieceOf(factor)))));
  await thread.delete('early');
  thread.close();
  return ready && found.every(Boolean);
}

onmessage = ({ data }) => tell(data).then(postMessage, (error) => postMessage(String(error.stack ?? error)));

async function tell(what) {
  const store = await openWeightStore('opfs');
  if (what === 'without script') return withoutScript(store);
  const found = { handedOver: await handedOver(store) };
  const thread = StoreThread.over(store);
  found.ready = await thread.ready;
  const names = Array.from({ length: 5 }, (_, i) => `segment-${i}`);
  const pieces = Array.from({ length: 15 }, (_, i) => pieceOf(2 * i + 1));
  const given = pieces.map((piece) => piece.slice());
  // An attempt that was cut off left more than this one writes.
  await thread.write('segment-4.new', 5 * PIECE_BYTES, pieceOf(99));
  await thread.release();
  const back = await Promise.all(given.map((bytes, i) => thread.write(`${names[Math.floor(i / 3)]}.new`, (i % 3) * PIECE_BYTES, bytes)));
  found.taken = given.every(({ length }) => length === 0);
  found.givenBack = back.every((bytes, i) => isSame(bytes, pieces[i]));
  found.unnamed = !(await thread.names()).some((name) => names.includes(name));
  await Promise.all(names.map((name) => thread.finish(`${name}.new`, name, 3 * PIECE_BYTES)));
  found.listed = (await thread.names()).filter((name) => name.startsWith('segment-')).sort().join();
  const piecesOf = (from) => Promise.all(pieces.map((_, i) => from.read(names[Math.floor(i / 3)], (i % 3) * PIECE_BYTES, room(), names.slice(Math.floor(i / 3) + 1, Math.floor(i / 3) + 3))));
  const isAll = (read) => read.every((bytes, i) => isSame(bytes, pieces[i]));
  found.read = isAll(await piecesOf(thread));
  found.readTogether = (await Promise.all([piecesOf(thread), piecesOf(store)])).every(isAll);
  await store.release();
  found.end = (await thread.read(names[4], 3 * PIECE_BYTES - 7, room())).length;
  found.missing = (await thread.read('segment-none', 0, room())) === undefined;
  found.refused = await messageOf(thread.write('no/name', 0, pieceOf(3)));
  found.mended = isSame(await thread.write(names[0], PIECE_BYTES, pieceOf(9)), pieceOf(9)) && isSame(await thread.read(names[0], PIECE_BYTES, room()), pieceOf(9)) && isSame(await thread.read(names[0], 0, room()), pieces[0]);
  // Pieces of one segment after the other are put in their places again while the next segments are open.
  await thread.write(names[0], PIECE_BYTES, pieces[1].slice());
  found.mendedOnTheWay = true;
  for (const [i, piece] of pieces.entries()) {
    const name = names[Math.floor(i / 3)], at = (i % 3) * PIECE_BYTES, next = names.slice(Math.floor(i / 3) + 1, Math.floor(i / 3) + 3);
    if (i % 3 !== 2) await thread.write(name, at, (await thread.read(name, at, room(), next)).slice());
    found.mendedOnTheWay &&= isSame(await thread.read(name, at, room(), next), piece);
  }
  // Another thread's draft is its own.
  await thread.write('other.new', 0, pieceOf(3));
  await store.delete('other.new');
  await thread.finish('other.new', 'other', PIECE_BYTES);
  found.others = isSame(await store.get('other'), pieceOf(3));
  const cut = messageOf(thread.write(names[1], 0, pieceOf(5)));
  thread.close();
  found.cut = await cut;
  found.afterwards = isSame(await thread.read(names[2], 0, room()), pieces[6]);
  for (const name of [...names, 'other']) await thread.delete(name);
  found.left = (await store.names()).filter((name) => /^(segment|other|early)/.test(name)).join();
  return found;
}
