// How two spaces relate. A space's name is a path:
//
//   <weights>/<adapter>/<pooling>/<dimensions>
//   weights:  name/dtype/vision dtype/digest   of a model directory or GGUF file, computed here
//             hosted/model                     of the hosted API

/** `same`: compare freely. `close`: same model, adapter, pooling and length from other weights. `different`: never compare. */
export type SpaceRelation = 'same' | 'close' | 'different';

const TAIL_PARTS = 3;
const MODEL = /jina-(?:embeddings-v\d+|clip-v\d+|code-embeddings-[\d.]+b)/i;

/**
 * Tells whether vectors of two spaces may be compared.
 *
 * `close` is what jina-embeddings-v4 at 4 bits here and the hosted jina-embeddings-v4 are to each other:
 * two precisions of one model. A query of the one finds passages of the other, with scores that differ by
 * what the quantisation costs, so an index may allow it where its owner says so, and never by itself.
 * Weights are taken for the same model where both names hold the same published model name; what is
 * named otherwise is `different`.
 */
export function compareSpaces(a: string, b: string): SpaceRelation {
  if (a === b) return 'same';
  const [one, other] = [split(a), split(b)];
  return one.model !== undefined && one.model === other.model && one.tail === other.tail ? 'close' : 'different';
}

function split(space: string): { model: string | undefined; tail: string } {
  const parts = space.split('/');
  // Packed bits have a part more, and are vectors of another kind.
  const length = /^\d+$/.test(parts.at(-1) ?? '') ? TAIL_PARTS : TAIL_PARTS + 1;
  return { model: MODEL.exec(parts.slice(0, -length).join('/'))?.[0].toLowerCase(), tail: parts.slice(-length).join('/') };
}
