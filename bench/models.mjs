// The models that are measured, made in the cache where they are missing or older than what makes them:
//
//   tiny-f32, tiny-q8_0   the random model of the tests: what a call costs, whatever the model
//   wide-q4_0             v4's real layer sizes, two layers of each kind, by bench/make_wide.py: what a layer costs
//
// and, for the engines that are measured beside this one, the same weights in the forms that they read.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const TINY = join(root, 'tests/fixtures/tiny');
const GENERATOR = join(root, 'bench/make_wide.py');
const PEERS = join(root, 'bench/peers');

/**
 * - `command`: the path of jina-embed
 * - `folder`: where models are kept
 * - `wide`: whether the wide one is wanted
 * - returns: one `{ name, dir, wide }` per model
 */
export function makeModels({ command, folder, wide }) {
  const models = [];
  const add = (name, dtype, makers, source, isWide) => {
    models.push({ name, dir: convert({ command, folder, name, dtype, makers, source }), wide: isWide });
  };
  const tinyFiles = [join(TINY, 'model-00001-of-00002.safetensors'), join(TINY, 'tokenizer.json')];
  for (const dtype of ['f32', 'q8_0']) add(`tiny-${dtype}`, dtype, tinyFiles, () => TINY, false);
  if (wide) add('wide-q4_0', 'q4_0', [GENERATOR, ...tinyFiles], (aside) => generate(aside, []), true);
  return models;
}

/** The decoder with one layer of v4's widths: a GGUF file with its task merged. */
export function makeOneLayer({ command, folder }) {
  const dir = convert({ command, folder, name: 'one-layer-q4_0', dtype: 'q4_0', makers: [GENERATOR], source: (aside) => generate(aside, ['--layers', '1', '--vision-layers', '1']) });
  return join(dir, 'text-00001-of-00001.gguf');
}

/** A folder as published, inside of `aside`. */
function generate(aside, args) {
  const published = join(aside, 'published');
  try {
    execFileSync('python3', [GENERATOR, published, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw error.code === 'ENOENT' ? new Error('the wide model is written by python3, which is missing here: install it, or give --no-wide') : error;
  }
  return published;
}

/**
 * A model directory, converted unless it is there and newer than what makes it.
 *
 * - `source`: makes or names the folder to convert; given a folder for what it makes
 */
function convert({ command, folder, name, dtype, makers, source }) {
  mkdirSync(folder, { recursive: true });
  const dir = join(folder, name);
  if (isCurrent(dir, [command, ...makers])) return dir;
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
  return dir;
}

/**
 * The decoder of `wide` for every engine, in `folder/peers`; the vision tower stays in the model's own folder.
 *
 * - `wide`: the folder of wide-q4_0, inside of `folder`
 * - `python`: an interpreter that has bench/requirements.txt
 * - `lengths`: of the texts, in tokens
 * - returns: `paths` below `folder`: `text` (GGUF), `vision` (GGUF), `onnx` (f32 activations), `onnxInt8`, `expanded`
 *   (GGUF in f32); `inputs` and `references` by length
 */
export function makePeerFiles({ folder, wide, python, lengths }) {
  const dir = join(folder, 'peers');
  mkdirSync(dir, { recursive: true });
  const text = join(wide, 'text-00001-of-00001.gguf');
  const make = (name, script, args, sources = [text]) => {
    const made = join(dir, name);
    const path = join(PEERS, script);
    if (!existsSync(made) || [path, ...sources].some((source) => statSync(source).mtimeMs >= statSync(made).mtimeMs)) {
      const aside = `${made}.part`;
      execFileSync(python, [path, ...args(aside)], { stdio: ['ignore', 'ignore', 'inherit'] });
      renameSync(aside, made);
    }
    return made;
  };
  const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
  const tokenizer = join(TINY, 'tokenizer.json');
  const named = [...lengths].sort((a, b) => a - b).join('-');
  const maxTokens = Math.max(1024, ...lengths);
  const onnx = (name, level) => make(name, 'make_onnx.py', (out) => [text, out, '--accuracy-level', level, '--max-tokens', String(maxTokens)]);
  const inputs = make(`inputs-${named}.json`, 'make_inputs.py', (out) => [tokenizer, out, ...lengths.map(String)], [tokenizer]);
  const references = make(`references-${named}.json`, 'reference.py', (out) => [text, inputs, out, ...lengths.map(String)], [text, inputs, join(PEERS, 'make_onnx.py')]);
  return {
    paths: {
      text,
      vision: join(wide, 'vision.gguf'),
      onnx: onnx(`f32-${maxTokens}.onnx`, '0'),
      onnxInt8: onnx(`int8-${maxTokens}.onnx`, '4'),
      expanded: make('expanded.gguf', 'expand.py', (out) => [text, out]),
    },
    maxTokens,
    inputs: read(inputs),
    references: read(references),
  };
}

function isCurrent(dir, makers) {
  const manifest = join(dir, 'model.json');
  return existsSync(manifest) && makers.every((path) => statSync(path).mtimeMs < statSync(manifest).mtimeMs);
}
