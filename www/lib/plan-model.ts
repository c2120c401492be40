// The part of planning a load that asks servers: the model's description, and sizes that nothing states.

import { readWhole, statedSize, type OpenUrl } from './fetch-body.js';
import { planDirectory, planGivenFiles, type ModelPlan, type PlannedFile, type WantedParts } from './model-files.js';
import type { WireModel } from './worker/protocol.js';

/** model.json names a few dozen files. */
const MAX_MANIFEST_BYTES = 1 << 20;

/** Lists the files of a model, reading its model.json where it is a directory. */
export async function planModel(model: WireModel, wanted: WantedParts, open: OpenUrl, signal: AbortSignal): Promise<ModelPlan> {
  if (model.kind === 'files') return planGivenFiles(model.files);
  const manifest = await readWhole(new URL('model.json', model.url).href, open, MAX_MANIFEST_BYTES, signal);
  return planDirectory(new TextDecoder().decode(manifest), model.url, wanted);
}

/** Bytes of each file; servers are asked for those that nothing states, and what they do not tell stays unknown. */
export function sizesOf(files: readonly PlannedFile[], open: OpenUrl, signal: AbortSignal): Promise<(number | undefined)[]> {
  return Promise.all(
    files.map(async ({ nBytes, source }) => {
      if (nBytes !== undefined || !('url' in source)) return nBytes;
      try {
        const body = await open(source.url, 'HEAD', signal);
        body.cancel();
        return body.head.status === 200 ? statedSize(body) : undefined;
      } catch {
        return undefined;
      }
    }),
  );
}
