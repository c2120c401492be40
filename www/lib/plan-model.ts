// The part of planning a load that asks a server: the model's description.

import { isEmbedderError } from './errors.js';
import { readWhole, type OpenUrl } from './fetch-body.js';
import { planDirectory, planGivenFiles, type ModelPlan, type WantedParts } from './model-files.js';
import type { WireModel } from './worker/protocol.js';

/** model.json names a few dozen files. */
const MAX_MANIFEST_BYTES = 1 << 20;

/** Descriptions that were kept when they could be fetched. */
export interface KeptDescriptions {
  get(url: string): Promise<string | undefined>;
  /** Called with every one that was fetched and is good. */
  put?(url: string, json: string): Promise<void>;
}

/**
 * Lists the files of a model, reading its model.json where it is a directory; the one that was kept, where
 * its server cannot be reached.
 */
export async function planModel(model: WireModel, wanted: WantedParts, open: OpenUrl, signal: AbortSignal, kept?: KeptDescriptions): Promise<ModelPlan> {
  if (model.kind === 'files') return planGivenFiles(model.files);
  const url = new URL('model.json', model.url).href;
  let json: string;
  try {
    json = new TextDecoder().decode(await readWhole(url, open, MAX_MANIFEST_BYTES, signal));
  } catch (error) {
    // A server that answers and says no is believed.
    const isUnreachable = isEmbedderError(error) && error.code === 'DOWNLOAD_FAILED' && error.data['status'] === undefined && error.data['needed'] === undefined;
    const last = isUnreachable ? await kept?.get(url) : undefined;
    if (last === undefined) throw error;
    return planDirectory(last, model.url, wanted);
  }
  const plan = planDirectory(json, model.url, wanted);
  await kept?.put?.(url, json);
  return plan;
}
