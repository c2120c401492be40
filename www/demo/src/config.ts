// What the page is set up with. A trained model takes the place of the random one by its address and name here.

/** Loaded unless `?model=` names another: the address of a model directory or a GGUF file. */
export const DEFAULT_MODEL = '/models/tiny';

/** How `convert` names models made of random numbers: their vectors rank nothing sensibly, and the page says so. */
const RANDOM_MODEL = /^tiny-random/;

export function hasLearnt(model_name: string): boolean {
  return !RANDOM_MODEL.test(model_name);
}

/** How much the vectors count beside the words. Those of a random model only order what no word has found. */
export function vectorWeight(model_name: string): number {
  return hasLearnt(model_name) ? 1 : 1e-3;
}

/** Passages are short, so that the best one fits a card. */
export const PASSAGE_TOKENS = 96;
export const OVERLAP_TOKENS = 16;

/** Cards on the table at a time. */
export const MAX_SHOWN = 120;
