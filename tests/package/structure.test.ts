// The import directions of www/lib, read from the sources.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';

const lib = join(import.meta.dirname, '../../../../www/lib');
const sources = (readdirSync(lib, { recursive: true }) as string[]).map((file) => file.replaceAll('\\', '/')).filter((file) => file.endsWith('.ts') && !file.startsWith('wasm/'));
const importsOf = (file: string): { target: string; typeOnly: boolean }[] =>
  [...readFileSync(join(lib, file), 'utf8').matchAll(/^(?:import|export) (type )?[^;]*?from '(\.[^']+)\.js'/gm)].map(([, type, path]) => ({
    target: posix.normalize(`${dirname(file)}/${path}.ts`),
    typeOnly: type !== undefined,
  }));

test('there is something to check', () => {
  assert.ok(sources.length > 15);
  assert.ok(importsOf('engine/serve.ts').length > 3);
});

test('the engine knows nothing of the page', () => {
  for (const file of sources.filter((name) => name.startsWith('engine/') || name.startsWith('worker/'))) {
    for (const { target } of importsOf(file)) assert.ok(!target.startsWith('page/'), `${file} imports ${target}`);
  }
});

test('what fetches and keeps weights knows nothing of the engine, the page or the module', () => {
  for (const file of sources.filter((name) => name.startsWith('weights/'))) {
    for (const { target, typeOnly } of importsOf(file)) assert.ok(typeOnly || !/^(?:engine|page|worker|node|search)\/|wasm/.test(target), `${file} imports ${target}`);
  }
});

test('the page runs the engine only through #engine, and shares no more of it than the question for an adapter', () => {
  for (const file of sources.filter((name) => name.startsWith('page/'))) {
    for (const { target, typeOnly } of importsOf(file)) {
      assert.ok(typeOnly || !target.startsWith('engine/') || target === 'engine/device.ts', `${file} imports ${target}`);
    }
  }
});

/** Every source that a file's code reaches, types left out. */
function reached(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const { target, typeOnly } of importsOf(file)) if (!typeOnly) reached(target, found);
  return found;
}

test('the hosted client and the adapters carry nothing of the engine, the page or the module', () => {
  for (const entry of ['hosted/index.ts', 'adapters/openai.ts', 'adapters/ai-sdk.ts', 'adapters/langchain.ts']) {
    const files = reached(entry);
    assert.ok(files.size > 1, entry);
    for (const file of files) assert.ok(!/^(?:engine|page|worker|node)\/|wasm/.test(file), `${entry} reaches ${file}`);
    if (entry.startsWith('adapters/')) assert.deepEqual([...files].filter((file) => file.startsWith('hosted/')), [], entry);
  }
});

test('the page loads what keeps weights only through #weights, when it is asked', () => {
  assert.deepEqual([...reached('index.ts')].filter((file) => file.startsWith('weights/')), ['weights/check-cache.ts']);
});

test('the page reaches the hosted client only through #hosted', () => {
  assert.deepEqual([...reached('index.ts')].filter((file) => file.startsWith('hosted/')), []);
});

test('no source but those of Node names a module of Node', () => {
  for (const file of sources.filter((name) => !/(?:^|\/)node(?:\/|\.ts$)/.test(name))) assert.ok(!/from 'node:|import\('node:/.test(readFileSync(join(lib, file), 'utf8')), file);
});

test('only one file imports the generated module', () => {
  assert.deepEqual(sources.filter((file) => readFileSync(join(lib, file), 'utf8').includes("from '#wasm'")), ['engine/load-face.ts']);
});

test('no file passes 500 lines', () => {
  for (const file of sources) assert.ok(readFileSync(join(lib, file), 'utf8').split('\n').length <= 500, file);
});
