// Prints the size of what a page downloads, raw and gzipped, against the limits in size-limits.json
// (bytes, gzipped). Over a limit, or with a file missing, it fails.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const here = import.meta.dirname;
const limits = JSON.parse(readFileSync(join(here, 'size-limits.json'), 'utf8'));
const withoutWasm = process.argv.includes('--without-wasm');
let failed = false;

for (const [file, limit] of Object.entries(limits)) {
  if (withoutWasm && file.includes('/wasm/')) continue;
  if (!existsSync(join(here, file))) {
    console.error(`${file}: missing; run \`npm run build\` first`);
    failed = true;
    continue;
  }
  const bytes = readFileSync(join(here, file));
  const gzipped = gzipSync(bytes, { level: 9 }).length;
  const over = gzipped > limit;
  failed ||= over;
  console.log(`${file.padEnd(40)} ${kilobytes(bytes.length)} raw ${kilobytes(gzipped)} gzipped, limit ${kilobytes(limit)}${over ? '  OVER' : ''}`);
}
process.exitCode = failed ? 1 : 0;

function kilobytes(nBytes) {
  return `${(nBytes / 1000).toFixed(1).padStart(8)} kB`;
}
