// Writes the reference of the package's public types to dist-docs/, from its declarations and comments.
// A comment that names what is not there, or an exported type that the reference lacks, fails.
//
// typedoc lies with what the consumers are built with (scripts/setup.sh consumers): it reads TypeScript
// through the compiler's own interface, which TypeScript 7 no longer has.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const here = import.meta.dirname;
const modules = join(process.env['JINA_CACHE'] ?? join(homedir(), '.cache/jina-embeddings-web'), 'consumers/node_modules');
const typedoc = join(modules, 'typedoc/bin/typedoc');
if (!existsSync(typedoc)) {
  console.error(`docs: ${typedoc} is missing: scripts/setup.sh consumers`);
  process.exit(1);
}
const { status } = spawnSync(process.execPath, [typedoc, '--options', join(here, 'typedoc.json')], { cwd: here, stdio: 'inherit' });
process.exitCode = status ?? 1;
