// Makes the npm package: www/lib ─► dist/.
//
//   dist/index.js    what a page imports           dist/index.d.ts, …  its types
//   dist/node.js     what a server imports         dist/wasm/          the module, as wasm-bindgen made it
//   dist/worker.js   the worker's script           dist/hosted.js      the hosted API, without the module
//   dist/engine.js   what all of them compute with dist/openai.js, …   adapters to other libraries
//
// The scripts refer to each other and to the wasm file by `new URL('./…', import.meta.url)` and
// `import('./…')`, which bundlers recognise and follow; so the files stay side by side, unhashed.
//
// `--without-wasm` leaves the module out, for checks that need no more than the scripts.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const root = join(here, '..');
const lib = join(root, 'www/lib');
const dist = join(here, 'dist');
/** Where the declarations of each entry begin. */
const TYPED_ENTRIES = ['index.d.ts', 'hosted/index.d.ts', 'adapters/openai.d.ts', 'adapters/ai-sdk.d.ts', 'adapters/langchain.d.ts'];
const WASM_FILES = ['jina_embeddings_web.js', 'jina_embeddings_web_bg.wasm'];

/** `#wasm`, `#engine` and `#hosted` are files beside the output; everything else is bundled. */
const besideTheOutput = {
  name: 'beside-the-output',
  setup({ onResolve }) {
    onResolve({ filter: /^#wasm$/ }, () => ({ path: './wasm/jina_embeddings_web.js', external: true }));
    onResolve({ filter: /^#engine$/ }, () => ({ path: './engine.js', external: true }));
    onResolve({ filter: /^#hosted$/ }, () => ({ path: './hosted.js', external: true }));
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
  plugins: [besideTheOutput],
  sourcemap: true,
  sourcesContent: true,
  legalComments: 'inline',
  logLevel: 'warning',
  // What an adapter is for is there where it is used, and Node's own modules in Node.
  external: ['node:*', '@ai-sdk/*', '@langchain/*'],
};
await build({
  ...common,
  entryPoints: {
    index: join(lib, 'index.ts'),
    engine: join(lib, 'engine/index.ts'),
    worker: join(lib, 'worker/index.ts'),
    hosted: join(lib, 'hosted/index.ts'),
    openai: join(lib, 'adapters/openai.ts'),
    'ai-sdk': join(lib, 'adapters/ai-sdk.ts'),
    langchain: join(lib, 'adapters/langchain.ts'),
  },
  minify: true,
});
// No page downloads it; and minifying would drop the comments that tell bundlers what not to follow.
await build({ ...common, entryPoints: { node: join(lib, 'node/index.ts') } });

emitTypes();
copyWasm();
writeFileSync(
  join(dist, 'THIRD_PARTY_LICENSES.txt'),
  `dist/engine.js contains parts of @noble/hashes:\n\n${readFileSync(join(here, 'node_modules/@noble/hashes/LICENSE'), 'utf8')}`,
);
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
