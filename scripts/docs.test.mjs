// Run by `node --test scripts/`: what the documents point at is there.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'bench/README.md', 'bench/search/README.md', 'bench/large/README.md', 'bench/quantisation/README.md', 'tests/fixtures/README.md', 'docs/index-format.md', 'examples/edge-worker/README.md'];
const read = (path) => readFileSync(join(root, path), 'utf8');

for (const document of documents) {
  test(`every file that ${document} links to exists`, () => {
    const links = [...read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1]);
    const missing = links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(document), link)));
    assert.deepEqual(missing, []);
  });

  test(`every make target that ${document} names exists`, () => {
    const targets = new Set([...read('Makefile').matchAll(/^([a-z-]+):/gm)].map((match) => match[1]));
    const code = [...read(document).matchAll(/`make ([a-z-]+)|^make ([a-z-]+)/gm)].map((match) => match[1] ?? match[2]);
    assert.deepEqual(code.filter((target) => !targets.has(target)), []);
  });
}

test('make alone lists every target with a line of its own', () => {
  const listed = [...execFileSync('make', ['--no-print-directory'], { cwd: root, encoding: 'utf8', env: { ...process.env, MAKEFLAGS: '' } })
    .matchAll(/^ {2}make ([a-z-]+) +\S/gm)].map((match) => match[1]);
  const phony = /^\.PHONY: (.+)$/m.exec(read('Makefile'))[1].split(' ');
  assert.deepEqual(listed.sort(), phony.sort());
});
