import type { Item, Kind } from './table';

export type Filter = 'all' | Kind;
export interface Ranked { item: Item; score: number }

/**
 * Orders the items that have a vector by cosine similarity, best first; equal scores keep the table's order.
 * The embedder returns unit vectors, so that the cosine is the dot product.
 */
export function rank(items: readonly Item[], query: Float32Array, filter: Filter): Ranked[] {
  const ranked: Ranked[] = [];
  for (const item of items) {
    if (item.state.at !== 'ready' || (filter !== 'all' && item.kind !== filter)) continue;
    ranked.push({ item, score: dot(item.state.vector, query) });
  }
  return ranked.sort((a, b) => b.score - a.score);
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
