// The example Worker in workerd, the runtime of Cloudflare Workers: it embeds by the hosted API, and
// searches, counts and measures by itself.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { embeddingServer, fixture, installExample, workerd } from './app.mjs';

const KEY = 'jina_key_of_the_worker';
let api;
let example;
let worker;
before(async () => {
  api = await embeddingServer(KEY);
  example = installExample();
  ({ worker } = await workerd(example, { EMBEDDINGS_URL: api.url, JINA_API_KEY: KEY }));
});
after(async () => {
  await worker?.dispose();
  await api?.close();
});

async function call(method, path, body, to = worker) {
  const response = await to.dispatchFetch(`http://worker${path}`, { method, body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body) });
  return { status: response.status, json: () => response.json(), bytes: async () => new Uint8Array(await response.arrayBuffer()) };
}

const ITEMS = [
  { id: 'cat', text: 'The cat sleeps on the warm sofa', fields: { kind: 'animal' } },
  { id: 'dog', text: 'A dog runs across the field', fields: { kind: 'animal' } },
  { id: 'bread', text: 'Bread rises in a warm kitchen' },
];

describe('the example Worker', () => {
  test('starts once for requests that come at the same time, and finds nothing before there is something', async () => {
    const first = await Promise.all([1, 2, 3, 4].map(() => call('GET', '/search?q=cat')));
    for (const answer of first) assert.deepEqual(await answer.json(), { hits: [] });
  });

  test('embeds items by the hosted API, with task and length, and searches them in its own memory', async () => {
    assert.deepEqual(await (await call('PUT', '/items', ITEMS)).json(), { added: 3, replaced: 0 });
    assert.deepEqual([api.requests.at(-1).task, api.requests.at(-1).dimensions], ['retrieval.passage', 512]);
    const { hits, usage } = await (await call('GET', '/search?q=where%20does%20the%20cat%20sleep&k=2')).json();
    assert.deepEqual([hits.length, hits[0].id, hits[0].fields], [2, 'cat', { kind: 'animal', text: ITEMS[0].text }]);
    assert.ok(hits[0].score > hits[1].score);
    assert.equal(usage.tokens, 1);
    assert.equal(api.requests.at(-1).task, 'retrieval.query');
  });

  test('replaces an item of the same id', async () => {
    assert.deepEqual(await (await call('PUT', '/items', [{ id: 'dog', text: 'A whale sings in the sea' }])).json(), { added: 0, replaced: 1 });
    const { hits } = await (await call('GET', '/search?q=the%20whale%20sings&k=1')).json();
    assert.deepEqual([hits[0].id, hits[0].fields], ['dog', { text: 'A whale sings in the sea' }]);
  });

  test('hands out its index as a file that another isolate opens, and refuses one that is damaged', async () => {
    const file = await (await call('GET', '/index')).bytes();
    const { worker: other } = await workerd(example, { EMBEDDINGS_URL: api.url, JINA_API_KEY: KEY });
    try {
      const flipped = file.slice();
      flipped[100] ^= 1;
      const refused = await call('PUT', '/index', flipped, other);
      assert.deepEqual([refused.status, (await refused.json()).error.code], [400, 'INDEX_INVALID']);
      assert.deepEqual(await (await call('PUT', '/index', file, other)).json(), { items: 3 });
      const { hits } = await (await call('GET', '/search?q=warm%20kitchen&k=1', undefined, other)).json();
      assert.equal(hits[0].id, 'bread');
    } finally {
      await other.dispose();
    }
  });

  test('counts tokens as the reference does, before anything is sent', async () => {
    const golden = JSON.parse(fixture('tiny/golden/tokenizer.json'));
    const { vocabulary } = await (await call('PUT', '/tokenizer', new Uint8Array(fixture('tiny/tokenizer.json')))).json();
    assert.ok(vocabulary > 4_000);
    for (const { text, ids } of golden.slice(0, 20)) {
      assert.deepEqual(await (await call('POST', '/tokens', { text })).json(), { tokens: ids.length }, JSON.stringify(text));
    }
  });

  test('says in which size and in how many tokens the model sees a picture', async () => {
    const [cat] = JSON.parse(fixture('tiny/golden/image.json'));
    const size = await (await call('POST', '/picture', new Uint8Array(fixture(`tiny/golden/${cat.file}`)))).json();
    const [width, height] = cat.resized_wh;
    assert.deepEqual(size, { width, height, rows: height / 28, columns: width / 28, tokens: cat.n_image_tokens });
  });

  test('refuses to compute in the worker, and says what to do instead', async () => {
    const refused = await call('GET', '/local');
    const { error } = await refused.json();
    assert.deepEqual([refused.status, error.code], [400, 'LOCAL_UNAVAILABLE']);
    assert.match(error.message, /only-local.*edge worker.*only-hosted/);
  });

  test('tells of a wrong key without showing it', async () => {
    const { worker: other } = await workerd(example, { EMBEDDINGS_URL: api.url, JINA_API_KEY: 'jina_wrong' });
    try {
      const refused = await call('PUT', '/items', ITEMS, other);
      const { error } = await refused.json();
      assert.deepEqual([refused.status, error.code], [502, 'HOSTED_AUTH']);
      assert.doesNotMatch(error.message, /jina_wrong/);
    } finally {
      await other.dispose();
    }
  });
});
