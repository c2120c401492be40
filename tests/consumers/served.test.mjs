// The hosted client against a real server: `jina-embed serve`, with the model that this process computes too.
// JINA_EMBED is the command, as for the browser tests.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CONSUMERS, install, jinaEmbed, node, ROOT } from './support.mjs';

/** Between two processors' f32 arithmetic on one model. */
const MIN_COSINE = 0.99999;

test('one model gives the same vectors, spaces and token counts computed in Node and asked of jina-embed serve', async () => {
  const command = jinaEmbed();
  const model = join(CONSUMERS, 'model-served');
  rmSync(model, { recursive: true, force: true });
  execFileSync(command, ['convert', '--from', join(ROOT, 'tests/fixtures/tiny'), '--to', model, '--dtype', 'f32'], { stdio: 'ignore' });
  const server = spawn(command, ['serve', '--model', model, '--device', 'cpu', '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, JINA_EMBED_API_KEY: 'a-key-of-one-s-own' } });
  try {
    const url = await ready(server);
    const report = JSON.parse(await node(install('node', { as: 'served' }), ['served.mjs', model, `${url}/v1`, join(ROOT, 'www/demo/public/samples/coffee.jpg')]));
    for (const name of ['queries', 'passages, shortened', 'code', 'a picture and a text', 'tokens', 'chunks']) {
      const { least, sameSpace, sameTokens } = report[name];
      console.log(`${name}: least cosine 1 - ${(1 - least).toExponential(2)}`);
      assert.ok(least >= MIN_COSINE, `${name}: ${least}`);
      assert.deepEqual([sameSpace, sameTokens], [true, true], name);
    }
    assert.deepEqual(report.forms, { ubinary: true, binary: true, base64: true });
    assert.deepEqual(report.wrongKey, ['HOSTED_AUTH', 401, 'AUTH_INVALID_API_KEY', 'string']);
    assert.deepEqual(report.noKey, ['HOSTED_AUTH', 401, 'AUTH_MISSING_API_KEY', 'string']);
    assert.deepEqual(report.tooManyDimensions.slice(0, 1), ['HOSTED_REJECTED']);
    assert.equal(report.batches, 2);
    assert.deepEqual(report.fallback, ['local', 'HOSTED_UNREACHABLE']);
  } finally {
    server.kill();
  }
});

/** The server's address, once its model is loaded. */
async function ready(server) {
  const url = await new Promise((resolve, reject) => {
    let text = '';
    server.stderr.on('data', (chunk) => {
      text += chunk;
      const found = /listening on (http:\/\/[^\s"]+)[\s"]/.exec(text);
      if (found) resolve(found[1]);
    });
    server.on('exit', (code) => reject(new Error(`jina-embed serve ended with ${code}:\n${text}`)));
  });
  while (!(await fetch(`${url}/ready`)).ok) await new Promise((resolve) => setTimeout(resolve, 50));
  return url;
}
