// Packs the package as npm would and checks the archive: its file list, publint, and whether its types
// match its code (are-the-types-wrong). Needs `npm run build` first.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), 'lint-package-'));
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
try {
  const [packed] = JSON.parse(execFileSync(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: here, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const archive = join(folder, packed.filename);
  const paths = packed.files.map(({ path }) => path);
  console.log(`${packed.filename}: ${paths.length} files, ${(packed.size / 1e6).toFixed(2)} MB packed, ${(packed.unpackedSize / 1e6).toFixed(2)} MB unpacked`);
  const problems = [
    ...['dist/index.js', 'dist/index.d.ts', 'dist/node.js', 'dist/worker.js', 'dist/engine.js', 'dist/hosted.js', 'dist/edge.js', 'dist/edge-node.js', 'dist/edge-workerd.js', 'dist/edge/index.d.ts', 'dist/wasm/jina_embeddings_edge.js', 'dist/wasm/jina_embeddings_edge_bg.wasm', 'dist/search.js', 'dist/search/index.d.ts', 'dist/search-worker.js', 'dist/search-engine.js', 'dist/search-formats.js', 'dist/openai.js', 'dist/ai-sdk.js', 'dist/langchain.js', 'dist/wasm/jina_embeddings_web.js', 'dist/wasm/jina_embeddings_web_bg.wasm', 'LICENSE', 'README.md']
      .filter((path) => !paths.includes(path))
      .map((path) => `the package lacks ${path}`),
    // Weights are under another licence than the code.
    ...paths.filter((path) => /\.(gguf|safetensors)$/.test(path)).map((path) => `the package holds weights: ${path}`),
    ...paths.filter((path) => !/^(dist\/|package\.json$|README\.md$|LICENSE$)/.test(path)).map((path) => `the package holds ${path}`),
  ];
  for (const problem of problems) console.error(problem);
  const clean = [
    run('publint', [archive, '--strict']),
    // The .wasm file is an asset and the worker a script: neither is imported as a typed module.
    run('attw', [archive, '--profile', 'esm-only', '--exclude-entrypoints', './core.wasm', './edge.wasm', '--no-emoji']),
  ];
  process.exitCode = problems.length > 0 || clean.includes(false) ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true });
}

function run(tool, args) {
  console.log(`\n${tool}`);
  const { status } = spawnSync(join(here, 'node_modules/.bin', tool), args, { cwd: here, stdio: 'inherit', shell: process.platform === 'win32' });
  return status === 0;
}
