import { EmbedderError, isRecord } from '../errors.js';
import type { Mode } from '../types.js';

const MODES: readonly unknown[] = ['prefer-local', 'only-local', 'prefer-hosted', 'only-hosted'];

/**
 * The mode that the options ask for. Left out, it is the widest they allow: `prefer-local` with `hosted`
 * and `model`, or the one side that is there.
 *
 * Fails with `INPUT_INVALID` where the mode is none, or needs what the options lack.
 */
export function modeOf(options: unknown): Mode {
  if (!isRecord(options)) throw new EmbedderError('INPUT_INVALID', 'createEmbedder needs an object with `model`, or with `hosted`');
  const { mode, hosted, model } = options;
  if (mode === undefined) return hosted === undefined ? 'only-local' : model === undefined ? 'only-hosted' : 'prefer-local';
  if (!MODES.includes(mode)) throw new EmbedderError('INPUT_INVALID', `option \`mode\` must be one of ${MODES.join(', ')}, not ${JSON.stringify(mode)}`);
  if (mode !== 'only-local' && hosted === undefined) throw new EmbedderError('INPUT_INVALID', `mode "${mode as string}" needs the option \`hosted\``);
  if (mode !== 'only-hosted' && model === undefined) throw new EmbedderError('INPUT_INVALID', `mode "${mode as string}" needs the option \`model\``);
  return mode as Mode;
}
