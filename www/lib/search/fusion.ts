// Reciprocal rank fusion: rankings of different kinds, whose scores cannot be compared, become one by
// their places alone. score(d) = Σ weight / (RANK_CONSTANT + rank(d)), rank from 1.
// Reference: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
// Rank Learning Methods", SIGIR 2009.

/** The value of that paper. */
export const RANK_CONSTANT = 60;

export interface Ranking<K> {
  /** Best first. */
  readonly keys: readonly K[];
  readonly weight: number;
}

export interface Fused<K> {
  readonly key: K;
  readonly score: number;
  /** The place in each ranking, from 1; `undefined` where it is in none. */
  readonly ranks: readonly (number | undefined)[];
}

/** Best first; equal scores keep the order in which the rankings first name them. */
export function reciprocalRankFusion<K>(rankings: readonly Ranking<K>[]): Fused<K>[] {
  const fused = new Map<K, { score: number; ranks: (number | undefined)[] }>();
  rankings.forEach(({ keys, weight }, at) => {
    keys.forEach((key, i) => {
      let entry = fused.get(key);
      if (entry === undefined) fused.set(key, (entry = { score: 0, ranks: rankings.map(() => undefined) }));
      if (entry.ranks[at] !== undefined) return;
      entry.ranks[at] = i + 1;
      entry.score += weight / (RANK_CONSTANT + i + 1);
    });
  });
  return [...fused].map(([key, { score, ranks }]) => ({ key, score, ranks })).sort((a, b) => b.score - a.score);
}
