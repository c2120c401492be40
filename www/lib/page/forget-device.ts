import { forgetAll } from '../remembered.js';
import { forgetCrashes } from './crash-marker.js';

/**
 * Forgets what was remembered of this device: loads that ended the page, self-tests that passed or failed,
 * and which form of the model's operations runs fastest. The next `createEmbedder` finds it out anew.
 */
export async function forgetDevice(): Promise<void> {
  forgetCrashes();
  await forgetAll();
}
