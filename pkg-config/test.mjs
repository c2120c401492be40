// Runs the tests of tests/package on Node's test runner: each file is bundled with the library's sources,
// as `dist` is, and no wasm module is needed. Arguments are parts of file names to run alone.

import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { wat } from './wat.mjs';

const here = import.meta.dirname;
const tests = join(here, '../tests/package');
const out = join(here, 'node_modules/.cache/package-tests');
const wanted = process.argv.slice(2);
const files = readdirSync(tests).filter((file) => file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => file.includes(part))));
if (files.length === 0) {
  console.error(`test: no test file matches ${wanted.join(' ')}`);
  process.exit(1);
}

rmSync(out, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: files.map((file) => join(tests, file)),
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  nodePaths: [join(here, 'node_modules')],
  alias: {
    '#hosted': join(here, '../www/lib/hosted/index.ts'),
    '#weights': join(here, '../www/lib/weights/index.ts'),
    '#engine': join(here, '../www/lib/engine/index.ts'),
    '#wasm': join(tests, 'support/fake-module.ts'),
    '#search-engine': join(here, '../www/lib/search/engine/index.ts'),
    '#search-formats': join(here, '../www/lib/search/formats/index.ts'),
    '#edge-wasm': join(tests, 'support/plain-module.ts'),
  },
  plugins: [wat],
  // The adapters meet the libraries as they are installed; Qdrant's looks for Node's modules by `require`.
  external: ['ai', 'openai', '@ai-sdk/*', '@langchain/*', '@qdrant/js-client-rest'],
  sourcemap: 'inline',
  logLevel: 'warning',
});
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', '--test-force-exit', '--test-timeout=120000', ...files.map((file) => join(out, file.replace(/\.ts$/, '.mjs')))], { stdio: 'inherit' });
process.exitCode = status ?? 1;
