// What of a model's description bears on passages and pictures. A hosted model states none of it.

import { isRecord } from '../errors.js';
import type { SearchEmbedder } from './types.js';

export interface ModelLimits {
  readonly maxTokens?: number;
  readonly minPixels?: number;
  readonly maxPixels?: number;
}

export function modelLimits(embedder: SearchEmbedder | undefined): ModelLimits {
  const model = isRecord(embedder?.info) ? embedder.info['model'] : undefined;
  if (!isRecord(model)) return {};
  const limits: Record<string, number> = {};
  for (const name of ['maxTokens', 'minPixels', 'maxPixels']) {
    const value = model[name];
    if (typeof value === 'number' && value > 0) limits[name] = value;
  }
  return limits;
}
