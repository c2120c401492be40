// Takes the place of the generated module `#edge-wasm`.
import { plainFace } from './plain-index.js';

export default async function init(): Promise<void> {
  // There is nothing to start.
}
export const { SearchIndex, IndexReader, ImagePreprocessor } = plainFace;
