// Checks the types of each place the code runs in, and of the tests.
import { spawnSync } from 'node:child_process';

const configs = ['tsconfig.page.json', 'tsconfig.worker.json', 'tsconfig.node.json', 'tsconfig.adapters.json', 'tsconfig.tests.json'];
const failed = configs.filter((config) => {
  const { status } = spawnSync('tsc', ['--project', config], { stdio: 'inherit', cwd: import.meta.dirname, shell: process.platform === 'win32' });
  return status !== 0;
});
if (failed.length > 0) console.error(`type errors in ${failed.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
