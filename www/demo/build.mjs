// Builds the page into www/demo/dist: what lies in public/, the bundled script, and the package as it was built,
// beside it: the page imports the package as a visitor's page would, so that its worker and .wasm lie where it
// looks for them.
//
//   node www/demo/build.mjs [--package DIR] [--out DIR]     (default: pkg-config/dist, www/demo/dist)
//
// Needs `npm ci` and `npm run build` in pkg-config.
import { cp, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const { values: options } = parseArgs({
  options: {
    package: { type: 'string', default: join(here, '../../pkg-config/dist') },
    out: { type: 'string', default: join(here, 'dist') },
  },
});
const built_package = resolve(options.package), out = resolve(options.out);

const { build } = createRequire(new URL('../../pkg-config/package.json', import.meta.url))('esbuild');
if (!(await stat(join(built_package, 'index.js')).catch(() => undefined))) {
  console.error(`${built_package} holds no built package (index.js is missing): run "npm run build" in pkg-config first`);
  process.exit(1);
}

await rm(out, { recursive: true, force: true });
await cp(join(here, 'public'), out, { recursive: true });
await cp(built_package, join(out, 'jina-embeddings-web'), { recursive: true });
await build({
  entryPoints: [join(here, 'src/main.ts')],
  outfile: join(out, 'main.js'),
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [{
    name: 'package-beside-the-page',
    setup({ onResolve }) {
      onResolve({ filter: /^jina-embeddings-web$/ }, () => ({ path: './jina-embeddings-web/index.js', external: true }));
    },
  }],
});
console.log(`built ${out}`);
