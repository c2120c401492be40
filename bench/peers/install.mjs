// Puts the peers where the benchmark finds them, at the versions of bench/package-lock.json and bench/requirements.txt,
// unless they are there: npm packages into bench/node_modules, Python packages into an environment in the cache.
// Nothing but `make bench` needs them, so nothing but `make bench` installs them.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const bench = join(import.meta.dirname, '..');

/**
 * - `cache`: a folder outside the clone
 * - returns: `modules`, the folder of the npm packages; `python`, an interpreter that has the Python packages; and
 *   `versions` of the engines
 */
export function installPeers(cache) {
  const modules = join(bench, 'node_modules');
  once(modules, join(bench, 'package-lock.json'), process.version, () => {
    run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', '--prefix', bench]);
  });
  const environment = join(cache, 'bench-python');
  const python = join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const requirements = join(bench, 'requirements.txt');
  once(environment, requirements, version('python3', ['--version']), () => {
    rmSync(environment, { recursive: true, force: true });
    run('python3', ['-m', 'venv', environment]);
    run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:', '-r', requirements]);
  });
  const pinned = Object.fromEntries(readFileSync(requirements, 'utf8').split('\n').filter((line) => line.includes('==')).map((line) => line.split('==')));
  const { dependencies } = JSON.parse(readFileSync(join(bench, 'package.json'), 'utf8'));
  return { modules, python, versions: { ...dependencies, xllamacpp: pinned.xllamacpp, onnx: pinned.onnx, python: version(python, ['--version']).split(' ')[1] } };
}

/** Runs `install` unless its folder says that it was done for this list of packages and this interpreter. */
function once(folder, list, interpreter, install) {
  const wanted = `${createHash('sha256').update(readFileSync(list)).digest('hex')} ${interpreter}`;
  const stamp = join(folder, '.installed-for');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  install();
  mkdirSync(folder, { recursive: true });
  writeFileSync(stamp, wanted);
}

function run(program, args) {
  process.stderr.write(`bench: ${program} ${args.slice(0, 3).join(' ')} …\n`);
  try {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`the peers could not be installed: ${program} ${args.join(' ')}: ${error.code === 'ENOENT' ? 'no such program' : error.message.split('\n')[0]}`);
  }
}

function version(program, args) {
  try {
    return execFileSync(program, args, { encoding: 'utf8' }).trim();
  } catch (error) {
    throw error.code === 'ENOENT' ? new Error(`the peers need ${program}, which is missing here`) : error;
  }
}
