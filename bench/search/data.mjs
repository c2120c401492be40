// Vectors that are always the same, and the answers that a plain loop finds.

/** Mulberry32: numbers between -1 and 1. */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2147483648 - 1;
  };
}

/** Sums of three numbers: near enough to a normal distribution, and quick. */
const normal = (next) => next() + next() + next();

/**
 * Vectors in clusters of clusters, as texts have topics: 100 topics of unequal size (as 1/rank), each of 10
 * parts, each of points around it. Later numbers weigh less, as Matryoshka training makes them.
 */
export function clustered(nRows, dimensions, seed) {
  const [nTopics, nParts] = [100, 10];
  const shape = numbers(1);
  const topics = Float32Array.from({ length: nTopics * dimensions }, () => normal(shape));
  const parts = Float32Array.from({ length: nTopics * nParts * dimensions }, () => normal(shape));
  const weights = Float32Array.from({ length: dimensions }, (_, column) => 1 / Math.sqrt(1 + column / 64));
  const chances = Array.from({ length: nTopics }, (_, rank) => 1 / (rank + 1));
  const total = chances.reduce((sum, chance) => sum + chance);
  const next = numbers(seed);
  const rows = new Float32Array(nRows * dimensions);
  for (let row = 0; row < nRows; row++) {
    let left = ((next() + 1) / 2) * total;
    let topic = 0;
    while (topic < nTopics - 1 && left > chances[topic]) left -= chances[topic++];
    const part = topic * nParts + (Math.floor(((next() + 1) / 2) * nParts) % nParts);
    for (let column = 0; column < dimensions; column++) {
      const point = topics[topic * dimensions + column] + 0.6 * parts[part * dimensions + column] + 0.5 * normal(next);
      rows[row * dimensions + column] = weights[column] * point;
    }
  }
  return rows;
}

/** Numbers without any order, for pages of token vectors. */
export function unordered(n, seed) {
  const next = numbers(seed);
  return Float32Array.from({ length: n }, next);
}

/** The rows of the `k` largest cosines, by the plainest code there is. */
export function plainTopK(rows, dimensions, query, k) {
  const best = [];
  for (let start = 0, row = 0; start < rows.length; start += dimensions, row++) {
    let dot = 0;
    let square = 0;
    for (let column = 0; column < dimensions; column++) {
      const x = rows[start + column];
      dot += x * query[column];
      square += x * x;
    }
    const score = dot / Math.sqrt(square);
    if (best.length < k || score > best[best.length - 1].score) {
      best.push({ row, score });
      best.sort((a, b) => b.score - a.score);
      best.length = Math.min(best.length, k);
    }
  }
  return best.map(({ row }) => row);
}

/** How many of the wanted rows were found, over all queries. */
export function recall(found, wanted) {
  let hits = 0;
  let total = 0;
  wanted.forEach((rows, query) => {
    total += rows.length;
    for (const row of rows) if (found[query].includes(row)) hits += 1;
  });
  return hits / total;
}

export function normalised(vector) {
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
}
