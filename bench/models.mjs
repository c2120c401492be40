// The models that are measured, made in the cache where they are missing or older than what makes them:
//
//   tiny-f32, tiny-q8_0   the random model of the tests: what a call costs, whatever the model
//   wide-q4_0             v4's real layer sizes, two layers of each kind, by bench/make_wide.py: what a layer costs

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const TINY = join(root, 'tests/fixtures/tiny');
const GENERATOR = join(root, 'bench/make_wide.py');

/**
 * - `command`: the path of jina-embed
 * - `folder`: where models are kept
 * - `wide`: whether the wide one is wanted
 * - returns: one `{ name, dir, wide }` per model
 */
export function makeModels({ command, folder, wide }) {
  mkdirSync(folder, { recursive: true });
  const models = [];
  const add = (name, dtype, makers, source, isWide) => {
    const dir = join(folder, name);
    if (!isCurrent(dir, [command, ...makers])) {
      // Aside first: an interrupted run leaves no half of a model.
      const aside = mkdtempSync(join(folder, `.${name}-`));
      try {
        const made = join(aside, name);
        execFileSync(command, ['convert', '--from', source(aside), '--to', made, '--dtype', dtype], { stdio: ['ignore', 'ignore', 'pipe'] });
        rmSync(dir, { recursive: true, force: true });
        renameSync(made, dir);
      } finally {
        rmSync(aside, { recursive: true, force: true });
      }
    }
    models.push({ name, dir, wide: isWide });
  };
  const tinyFiles = [join(TINY, 'model-00001-of-00002.safetensors'), join(TINY, 'tokenizer.json')];
  for (const dtype of ['f32', 'q8_0']) add(`tiny-${dtype}`, dtype, tinyFiles, () => TINY, false);
  if (wide) {
    add('wide-q4_0', 'q4_0', [GENERATOR, ...tinyFiles], (aside) => {
      const published = join(aside, 'published');
      try {
        execFileSync('python3', [GENERATOR, published], { stdio: ['ignore', 'ignore', 'inherit'] });
      } catch (error) {
        throw error.code === 'ENOENT' ? new Error('the wide model is written by python3, which is missing here: install it, or give --no-wide') : error;
      }
      return published;
    }, true);
  }
  return models;
}

function isCurrent(dir, makers) {
  const manifest = join(dir, 'model.json');
  return existsSync(manifest) && makers.every((path) => statSync(path).mtimeMs < statSync(manifest).mtimeMs);
}
