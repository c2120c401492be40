// Checks that everything the tests need has been built, and converts the reference model to a model directory.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FIXTURES, MODELS, REPOSITORY, SITE } from './paths';

/** Small, so that the text model comes in several files, as a large one does. */
const SPLIT_SIZE = '1M';

export default function setup(): void {
  for (const [path, how] of [
    [join(SITE, 'index.html'), 'node www/demo/build.mjs'],
    [join(SITE, 'jina-embeddings-web/index.js'), 'npm run build --prefix pkg-config, then node www/demo/build.mjs'],
  ] as const) {
    if (!existsSync(path)) throw new Error(`${path} is missing; build it with: ${how}`);
  }
  const directory = join(MODELS, 'tiny');
  rmSync(directory, { recursive: true, force: true });
  const options = ['--from', join(FIXTURES, 'tiny'), '--to', directory, '--dtype', 'f32', '--split-size', SPLIT_SIZE];
  execFileSync(jinaEmbed(), ['convert', ...options], { stdio: ['ignore', 'inherit', 'inherit'] });
}

function jinaEmbed(): string {
  const given = process.env['JINA_EMBED'];
  if (given) return given;
  const target = process.env['CARGO_TARGET_DIR'] ?? join(REPOSITORY, 'target');
  const built = ['release', 'debug'].map((profile) => join(target, profile, 'jina-embed')).filter((path) => existsSync(path));
  const newest = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
  if (!newest) throw new Error(`no jina-embed in ${target}; build it with: cargo build --no-default-features --features cli --bin jina-embed`);
  return newest;
}
