// What the tests of consumers share: the packed package installed into copies of the applications, a model,
// a server that speaks the hosted API, a browser.

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const here = import.meta.dirname;
export const ROOT = join(here, '../..');
const PACKAGE = join(ROOT, 'pkg-config');
/** Where scripts/setup.sh installs what the applications are built with, and where they are copied to. */
export const CONSUMERS = join(process.env['JINA_CACHE'] ?? join(homedir(), '.cache/jina-embeddings-web'), 'consumers');
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const packaged = createRequire(join(PACKAGE, 'package.json'));

/** Packs the package as npm would, once. */
export const tarball = once(() => {
  const folder = mkdtempSync(join(tmpdir(), 'jina-embeddings-web-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const [packed] = JSON.parse(execFileSync(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: PACKAGE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  return join(folder, packed.filename);
});

/**
 * A fresh copy of an application with the packed package installed. Nothing is fetched.
 * `as` names the copy where two tests use one application; `from` is where it lies.
 */
export function install(name, { as = name, from = join(here, 'apps', name) } = {}) {
  if (!existsSync(join(CONSUMERS, 'node_modules'))) throw new Error(`${CONSUMERS}/node_modules is missing: scripts/setup.sh consumers`);
  const app = join(CONSUMERS, 'apps', as);
  rmSync(app, { recursive: true, force: true });
  cpSync(from, app, { recursive: true });
  execFileSync(npm, ['install', '--offline', '--no-audit', '--no-fund', '--omit=peer', '--loglevel=error', tarball()], { cwd: app, stdio: ['ignore', 'ignore', 'inherit'] });
  return app;
}

/** A command of what the applications are built with. */
export function tool(app, script, args, env = {}) {
  return execFileSync(process.execPath, [join(CONSUMERS, 'node_modules', script), ...args], { cwd: app, encoding: 'utf8', env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });
}

/** Runs a script of Node and returns what it writes. Not synchronously: the server it talks to is in this process. */
export function node(app, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: app, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let error = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (error += chunk));
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`${args.join(' ')} ended with ${code}:\n${error}${out}`))));
  });
}

/** A directory as `jina-embed convert` writes it, of one small model with the retrieval adapter merged in. */
export const modelDirectory = once(() => {
  const folder = join(CONSUMERS, 'model');
  mkdirSync(folder, { recursive: true });
  const file = 'text-00001-of-00001.gguf';
  copyFileSync(join(ROOT, 'tests/fixtures/tiny_gguf/tiny-jina-v4-a-retrieval-Q8_0.gguf'), join(folder, file));
  writeFileSync(join(folder, 'model.json'), JSON.stringify({
    format: 'jina-embeddings-web', format_version: 1, name: 'tiny', licence: 'Apache-2.0', space: 'tiny/q8_0',
    files: [{ path: file, role: 'text', n_bytes: statSync(join(folder, file)).size }],
  }));
  return folder;
});

/** The hosted API of the unit tests, which are TypeScript. */
export async function hostedServer() {
  const outfile = join(CONSUMERS, 'hosted-server.mjs');
  const { build } = packaged('esbuild');
  await build({ entryPoints: [join(ROOT, 'tests/package/support/hosted-server.ts')], bundle: true, format: 'esm', platform: 'node', outfile, logLevel: 'error' });
  return (await import(pathToFileURL(outfile).href)).hostedServer();
}

export async function serve(mounts, headers = {}) {
  const { serve: start } = await import(pathToFileURL(join(ROOT, 'scripts/serve.mjs')).href);
  return start({ mounts, port: 0, headers });
}

const chromiumPath = once(() => {
  const given = process.env['CHROMIUM_PATH'];
  const folders = (process.env['PATH'] ?? '').split(':');
  const found = given ?? ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (found === undefined) throw new Error('no Chromium on PATH, and CHROMIUM_PATH is not set');
  return found;
});

export const browser = once(() => packaged('@playwright/test').chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'] }));

/** Opens a page whose hosted API is `api`, waits for its `outcome`, and returns it; what is uncaught fails. */
export async function outcomeOf(url, api) {
  const page = await (await browser()).newPage();
  const uncaught = [];
  page.on('pageerror', (error) => uncaught.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error' && !message.text().includes('404')) uncaught.push(message.text()); });
  await page.route('**/v1/embeddings', async (route) => route.fulfill({ response: await route.fetch({ url: `${api.url}/embeddings` }) }));
  try {
    await page.goto(url);
    await page.waitForFunction(() => 'outcome' in globalThis, undefined, { timeout: 20_000 });
    const outcome = await page.evaluate(() => globalThis.outcome);
    if (uncaught.length > 0) throw new Error(uncaught.join('\n'));
    return outcome;
  } catch (error) {
    throw new Error(`${error.message}\n${uncaught.join('\n')}`);
  } finally {
    await page.close();
  }
}

/** SwiftShader, the Vulkan driver that comes with Chromium: Dawn wants more of a driver than lavapipe offers. */
export function swiftShader() {
  const folders = [dirname(realpathSync(chromiumPath())), '/usr/lib/chromium', '/usr/lib64/chromium-browser', '/opt/google/chrome'];
  const driver = folders.map((folder) => join(folder, 'vk_swiftshader_icd.json')).find((path) => existsSync(path));
  if (driver === undefined) throw new Error(`no vk_swiftshader_icd.json in ${folders.join(', ')}`);
  return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver };
}

/** The command: JINA_EMBED, or the newest one in cargo's target directory. */
export function jinaEmbed() {
  const given = process.env['JINA_EMBED'];
  if (given) return given;
  const target = process.env['CARGO_TARGET_DIR'] ?? join(homedir(), '.cache/jina-embeddings-web/target');
  const built = ['release', 'debug'].map((profile) => join(target, profile, 'jina-embed')).filter((path) => existsSync(path));
  const newest = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
  if (newest === undefined) throw new Error(`no jina-embed in ${target}; build it with: cargo build --no-default-features --features cli --bin jina-embed`);
  return newest;
}

/** Every file below a folder, with what it holds as text. */
export function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => ({ name: entry.name, text: readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'latin1') }));
}

/** TypeScript to JavaScript, without a look at the types. */
export function transpile(code) {
  return packaged('esbuild').transformSync(code, { loader: 'ts', target: 'es2022' }).code;
}

function once(make) {
  let made;
  let isMade = false;
  return () => {
    if (!isMade) made = make();
    isMade = true;
    return made;
  };
}
