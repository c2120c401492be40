// Checks that everything the tests need has been built, and converts the reference model to a model directory.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FIXTURES, MODELS, REPOSITORY, SITE } from './paths';

/** What `convert` calls models made of random numbers begins so, and the page says so. */
const MODEL_NAME = 'tiny-random-jina-v4-a';

export default function setup(): void {
  for (const [path, how] of [
    [join(SITE, 'index.html'), 'node www/demo/build.mjs'],
    [join(SITE, 'jina-embeddings-web/index.js'), 'npm run build --prefix pkg-config, then node www/demo/build.mjs'],
  ] as const) {
    if (!existsSync(path)) throw new Error(`${path} is missing; build it with: ${how}`);
  }
  const directory = join(MODELS, 'tiny');
  rmSync(directory, { recursive: true, force: true });
  execFileSync(jinaEmbed(), ['convert', '--from', join(FIXTURES, 'tiny'), '--to', directory, '--dtype', 'f32', '--vision-dtype', 'f32'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const manifest = join(directory, 'model.json');
  const card = JSON.parse(readFileSync(manifest, 'utf8')) as Record<string, unknown>;
  writeFileSync(manifest, JSON.stringify({ ...card, name: MODEL_NAME }, null, 2));
}

function jinaEmbed(): string {
  const given = process.env['JINA_EMBED'];
  if (given) return given;
  const target = process.env['CARGO_TARGET_DIR'] ?? join(REPOSITORY, 'target');
  const built = ['release', 'debug', 'dev-fast'].map((profile) => join(target, profile, 'jina-embed')).filter((path) => existsSync(path));
  const newest = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
  if (!newest) throw new Error(`no jina-embed in ${target}; build it with: cargo build --no-default-features --features cli --bin jina-embed`);
  return newest;
}
