// Builds the page into www/demo/dist: what lies in public/, the bundled script, and the package as it was built,
// beside it: the page imports the package as a visitor's page would, so that its worker and .wasm lie where it
// looks for them.
//
//   node www/demo/build.mjs [--package DIR] [--out DIR]     (default: pkg-config/dist, www/demo/dist)
//
// Needs `npm ci` and `npm run build` in pkg-config.
import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const { values: options } = parseArgs({
  options: {
    package: { type: 'string', default: join(here, '../../pkg-config/dist') },
    out: { type: 'string', default: join(here, 'dist') },
  },
});
const built_package = resolve(options.package), out = resolve(options.out);

const { build, transform } = createRequire(new URL('../../pkg-config/package.json', import.meta.url))('esbuild');
if (!(await stat(join(built_package, 'index.js')).catch(() => undefined))) {
  console.error(`${built_package} holds no built package (index.js is missing): run "npm run build" in pkg-config first`);
  process.exit(1);
}

await rm(out, { recursive: true, force: true });
await cp(join(here, 'public'), out, { recursive: true });
await cp(built_package, join(out, 'jina-embeddings-web'), { recursive: true });
const style = join(out, 'style.css');
await writeFile(style, (await transform(await readFile(style, 'utf8'), { loader: 'css', minify: true, legalComments: 'none' })).code);
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
      onResolve({ filter: /^jina-embeddings-web\/search$/ }, () => ({ path: './jina-embeddings-web/search.js', external: true }));
    },
  }],
});
await buildServiceWorker();
console.log(`built ${out}`);

/** The service worker knows every file of the page, and by their hash when one of them is another. */
async function buildServiceWorker() {
  const all = (await readdir(out, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
  const files = all.filter((file) => !/\.(map|d\.ts|txt)$/.test(file));
  const hash = createHash('sha256');
  for (const file of files) hash.update(relative(out, file)).update(await readFile(file));
  const paths = files.map((file) => relative(out, file).split(sep).join('/')).filter((path) => path !== 'index.html');
  await build({
    entryPoints: [join(here, 'src/sw.ts')],
    outfile: join(out, 'sw.js'),
    bundle: true,
    format: 'iife',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
    define: { FILES: JSON.stringify(['./', ...paths]), VERSION: JSON.stringify(hash.digest('hex').slice(0, 16)) },
  });
}
