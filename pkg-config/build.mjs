// Makes the npm package: www/lib ─► dist/.
//
//   dist/index.js    what a page imports           dist/index.d.ts, …  its types
//   dist/node.js     what a server imports         dist/wasm/          the module, as wasm-bindgen made it
//   dist/worker.js   the worker's script           dist/hosted.js      the hosted API, without the module
//   dist/engine.js   what all of them compute with dist/openai.js, …   adapters to other libraries
//   dist/weights.js  where weights come from and are kept: part of the engine; loaded by a page that asks
//   dist/store-worker.js  the script of the thread that writes them
//   dist/search.js   the sub-path `./search`; beside it search-worker.js, search-engine.js (what the worker
//                    runs) and search-formats.js (HTML and Markdown, loaded when first needed)
//   dist/edge.js     the sub-path `./edge`, with forms for Node and for workerd
//
// The scripts refer to each other and to the wasm file by `new URL('./…', import.meta.url)` and
// `import('./…')`, which bundlers recognise and follow; so the files stay side by side, unhashed.
//
// `--without-wasm` leaves the module out, for checks that need no more than the scripts.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { wat } from './wat.mjs';

const here = import.meta.dirname;
const root = join(here, '..');
const lib = join(root, 'www/lib');
const dist = join(here, 'dist');
/** Where the declarations of each entry begin. */
const TYPED_ENTRIES = ['index.d.ts', 'search/index.d.ts', 'hosted/index.d.ts', 'edge/index.d.ts', 'adapters/openai.d.ts', 'adapters/ai-sdk.d.ts', 'adapters/langchain.d.ts'];
const WASM_FILES = ['jina_embeddings_web.js', 'jina_embeddings_web_bg.wasm', 'jina_embeddings_edge.js', 'jina_embeddings_edge_bg.wasm'];
const searchEntries = { search: join(lib, 'search/index.ts'), 'search-engine': join(lib, 'search/engine/index.ts'), 'search-worker': join(lib, 'search/worker.ts'), 'search-formats': join(lib, 'search/formats/index.ts') };

/** `#wasm`, `#engine`, `#weights` and `#hosted` are files beside the output; everything else is bundled. */
const besideTheOutput = {
  name: 'beside-the-output',
  setup({ onResolve }) {
    onResolve({ filter: /^#wasm$/ }, () => ({ path: './wasm/jina_embeddings_web.js', external: true }));
    onResolve({ filter: /^#engine$/ }, () => ({ path: './engine.js', external: true }));
    onResolve({ filter: /^#edge-wasm$/ }, () => ({ path: './wasm/jina_embeddings_edge.js', external: true }));
    onResolve({ filter: /^#edge-wasm-module$/ }, () => ({ path: './wasm/jina_embeddings_edge_bg.wasm', external: true }));
    onResolve({ filter: /^#search-(engine|formats)$/ }, ({ path }) => ({ path: `./${path.slice(1)}.js`, external: true }));
    onResolve({ filter: /^#hosted$/ }, () => ({ path: './hosted.js', external: true }));
    onResolve({ filter: /^#weights$/ }, () => ({ path: './weights.js', external: true }));
  },
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, 'wasm'), { recursive: true });

const common = {
  absWorkingDir: here,
  outdir: dist,
  bundle: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  mainFields: ['module', 'main'],
  nodePaths: [join(here, 'node_modules')],
  plugins: [besideTheOutput, wat],
  sourcemap: true,
  sourcesContent: true,
  legalComments: 'inline',
  logLevel: 'warning',
  // What an adapter is for is there where it is used, and Node's own modules in Node.
  external: ['node:*', '@ai-sdk/*', '@langchain/*'],
};
const { metafile } = await build({
  ...common,
  metafile: true,
  entryPoints: {
    ...searchEntries,
    edge: join(lib, 'edge/index.ts'),
    'edge-workerd': join(lib, 'edge/workerd.ts'),
    index: join(lib, 'index.ts'),
    engine: join(lib, 'engine/index.ts'),
    worker: join(lib, 'worker/index.ts'),
    weights: join(lib, 'weights/index.ts'),
    'store-worker': join(lib, 'weights/store-worker.ts'),
    hosted: join(lib, 'hosted/index.ts'),
    openai: join(lib, 'adapters/openai.ts'),
    'ai-sdk': join(lib, 'adapters/ai-sdk.ts'),
    langchain: join(lib, 'adapters/langchain.ts'),
  },
  minify: true,
});
// No page downloads it; and minifying would drop the comments that tell bundlers what not to follow.
await build({ ...common, entryPoints: { node: join(lib, 'node/index.ts'), 'edge-node': join(lib, 'edge/node.ts') } });

emitTypes();
copyWasm();
writeFileSync(join(dist, 'THIRD_PARTY_LICENSES.txt'), licences(metafile));
for (const file of ['README.md', 'LICENSE']) {
  // npm packs them from the package's own folder.
  if (existsSync(join(root, file))) cpSync(join(root, file), join(here, file));
}

/** Emits the declarations, and keeps those that the entry's own reach. */
function emitTypes() {
  const emitted = join(dist, '.types');
  const { status } = spawnSync(
    process.execPath,
    [join(here, 'node_modules/typescript/bin/tsc'), '--project', 'tsconfig.types.json', '--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--outDir', emitted],
    { cwd: here, stdio: 'inherit' },
  );
  if (status !== 0) fail('the declarations could not be emitted');
  const reached = new Set();
  const visit = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']*)\.js'|import\('(\.[^']*)\.js'\)/g)) visit(join(dirname(file), `${specifier}.d.ts`));
  };
  for (const entry of TYPED_ENTRIES) visit(join(emitted, entry));
  for (const file of reached) cpSync(file, join(dist, relative(emitted, file)));
  rmSync(emitted, { recursive: true });
  writeFileSync(join(dist, 'worker.d.ts'), '// The script of the worker that `createEmbedder` starts; it exports nothing.\nexport {};\n');
}

/** The licence of every package that the bundler put into a file, and which files those are. */
function licences({ outputs }) {
  const files = new Map();
  for (const [output, { inputs }] of Object.entries(outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = bytesInOutput > 0 ? /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] : undefined;
      if (folder !== undefined) files.set(folder, (files.get(folder) ?? new Set()).add(relative(dist, join(here, output))));
    }
  }
  return [...files].map(([folder, names]) => {
    const licence = readdirSync(join(here, folder)).find((file) => /^licen[cs]e/i.test(file));
    if (licence === undefined) fail(`${folder} has no licence file`);
    const { name } = JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8'));
    return `dist/${[...names].join(' and dist/')} contains parts of ${name}:\n\n${readFileSync(join(here, folder, licence), 'utf8')}`;
  }).join('\n\n');
}

function copyWasm() {
  if (process.argv.includes('--without-wasm')) return;
  const missing = WASM_FILES.filter((file) => !existsSync(join(lib, 'wasm', file)));
  if (missing.length > 0) fail(`needed ${missing.map((file) => `www/lib/wasm/${file}`).join(' and ')}: build the wasm module first (\`make\` lists how)`);
  for (const file of readdirSync(join(lib, 'wasm'))) {
    if (WASM_FILES.includes(file) || file === 'snippets') cpSync(join(lib, 'wasm', file), join(dist, 'wasm', file), { recursive: true });
  }
}

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}
