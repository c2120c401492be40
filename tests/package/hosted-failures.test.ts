// What the hosted client makes of servers that refuse, break, hang or lie; and that the key stays where it is.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { createHostedEmbedder, type HostedFetch, type HostedOptions } from '../../www/lib/hosted/index.js';
import { HostedClient } from '../../www/lib/hosted/client.js';
import { Secrets } from '../../www/lib/hosted/secrets.js';
import { realClock, type Clock } from '../../www/lib/hosted/transport.js';
import { toWire } from '../../www/lib/errors.js';
import { answer, failing, hostedServer, json, type HostedServer, type Script } from './support/hosted-server.js';
import { pause } from './support/loaded.js';

const servers: HostedServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

const KEY = 'jina_SECRET0123456789abcdef+/=';

/** Counts the waits instead of waiting; chance always takes half of its quarter. */
function countingClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  return { waits, now: () => Date.UTC(2026, 0, 1), random: () => 0.5, sleep: async (ms) => void waits.push(ms) };
}

async function connected(script: Script | undefined, options: HostedOptions = {}): Promise<{ server: HostedServer; client: HostedClient; waits: number[] }> {
  const server = await hostedServer(script);
  servers.push(server);
  const clock = countingClock();
  return { server, client: new HostedClient({ apiKey: KEY, baseURL: server.url, ...options }, clock), waits: clock.waits };
}

const rejection = (promise: Promise<unknown>): Promise<any> => promise.then(() => assert.fail('the call succeeded'), (reason) => reason);

describe('a refusal', () => {
  const id = { 'x-request-id': 'req-header' };
  for (const [what, status, body, expected] of [
    ['no key', 401, { detail: 'Authentication required', code: 'AUTH_MISSING_API_KEY', request_id: 'r1' }, ['HOSTED_AUTH', 'AUTH_MISSING_API_KEY', 'r1', /401 AUTH_MISSING_API_KEY: Authentication required \(request r1\)/]],
    ['a key without rights', 403, { detail: 'no', code: 'AUTHZ_DENIED' }, ['HOSTED_AUTH', 'AUTHZ_DENIED', 'req-header', /403/]],
    ['an empty account', 403, { detail: 'Insufficient account balance.', code: 'AUTHZ_INSUFFICIENT_BALANCE' }, ['HOSTED_QUOTA', 'AUTHZ_INSUFFICIENT_BALANCE', 'req-header', /balance/]],
    ['a plan that is used up', 403, { detail: 'limit', code: 'AUTHZ_RESOURCE_LIMIT_EXCEEDED' }, ['HOSTED_QUOTA', 'AUTHZ_RESOURCE_LIMIT_EXCEEDED', 'req-header', /limit/]],
    ['payment required', 402, 'Payment Required', ['HOSTED_QUOTA', undefined, 'req-header', /402: Payment Required/]],
    ['an unknown model', 400, { detail: "Model 'x' not found", code: 'INPUT_MODEL_NOT_FOUND' }, ['HOSTED_REJECTED', 'INPUT_MODEL_NOT_FOUND', 'req-header', /not found/]],
    ['a field that is wrong', 422, { detail: 'Validation Error', errors: [{ field: 'input.0', message: 'too long', type: 'value_error', input: 'x' }] }, ['HOSTED_REJECTED', undefined, 'req-header', /Validation Error: input\.0: too long/]],
    ["a field that is wrong, in FastAPI's form", 422, { detail: [{ loc: ['body', 'input'], msg: 'field required' }] }, ['HOSTED_REJECTED', undefined, 'req-header', /body\.input: field required/]],
    ["OpenAI's form", 400, { error: { message: 'bad input', type: 'invalid_request_error', code: null } }, ['HOSTED_REJECTED', 'invalid_request_error', 'req-header', /bad input/]],
    ["OpenAI's form of an empty account", 429, { error: { message: 'You exceeded your quota', code: 'insufficient_quota' } }, ['HOSTED_QUOTA', 'insufficient_quota', 'req-header', /quota/]],
    ['an error as a string', 400, { error: 'just no' }, ['HOSTED_REJECTED', undefined, 'req-header', /400: just no/]],
    ['a message', 404, { message: 'no such route' }, ['HOSTED_REJECTED', undefined, 'req-header', /no such route/]],
    ['a string', 400, '"quoted"', ['HOSTED_REJECTED', undefined, 'req-header', /400: quoted/]],
    ['plain text', 413, 'Request Entity Too Large', ['HOSTED_REJECTED', undefined, 'req-header', /413: Request Entity Too Large/]],
    ['a page of a gateway', 404, '<html><body>nginx</body></html>', ['HOSTED_REJECTED', undefined, 'req-header', /^The hosted API answered 404 \(request req-header\)$/]],
    ['nothing', 400, '', ['HOSTED_REJECTED', undefined, 'req-header', /answered 400 \(request/]],
    ['null', 400, 'null', ['HOSTED_REJECTED', undefined, 'req-header', /400/]],
    ['a list', 400, '[1,2]', ['HOSTED_REJECTED', undefined, 'req-header', /400/]],
    ['JSON that breaks off', 400, '{"detail":"hal', ['HOSTED_REJECTED', undefined, 'req-header', /\{"detail":"hal/]],
  ] as const) {
    test(`with ${what} is ${expected[0]}, at once`, async () => {
      const { client, server } = await connected((response) => json(response, status, body, id));
      const error = await rejection(client.encode('x'));
      const [code, apiCode, requestId, message] = expected;
      assert.deepEqual([error.name, error.code, error.recoverable], ['EmbedderError', code, false]);
      assert.deepEqual([error.data.status, error.data.code, error.data.requestId, error.data.attempts], [status, apiCode, requestId, 1]);
      assert.match(error.message, message);
      assert.equal(server.requests.length, 1);
    });
  }

  for (const [status, code] of [[429, 'HOSTED_RATE_LIMIT'], [408, 'HOSTED_TIMEOUT'], [409, 'HOSTED_REJECTED'], [500, 'HOSTED_SERVER'], [502, 'HOSTED_SERVER'], [503, 'HOSTED_SERVER'], [504, 'HOSTED_TIMEOUT']] as const) {
    test(`with ${status} is tried three times in all, and then ${code}`, async () => {
      const { client, server, waits } = await connected(failing(status, { detail: 'later', code: 'LATER', request_id: 'r9' }));
      const error = await rejection(client.encode('x'));
      assert.deepEqual([error.code, error.data.status, error.data.attempts, error.data.requestId], [code, status, 3, 'r9']);
      assert.match(error.message, /after 3 attempts, request r9/);
      assert.equal(server.requests.length, 3);
      assert.deepEqual(waits, [437.5, 875]);
    });

    test(`with ${status} once is no failure`, async () => {
      const { client, server } = await connected(failing(status, '', {}, 2));
      assert.equal((await client.encode('abc')).embedding[0], 3);
      assert.equal(server.requests.length, 2);
      assert.deepEqual(server.requests[0]?.body, server.requests[1]?.body);
    });
  }
});

describe('the wait before the next attempt', () => {
  const waitsFor = async (headers: Record<string, string>, options: HostedOptions = {}): Promise<number[]> => {
    const { client, waits } = await connected(failing(429, '', headers, 2), options);
    await client.encode('x').catch(() => undefined);
    return waits;
  };

  test('is what the server asks for, in milliseconds, seconds, or until a date', async () => {
    assert.deepEqual(await waitsFor({ 'retry-after-ms': '1234' }), [1234]);
    assert.deepEqual(await waitsFor({ 'retry-after': '7' }), [7000]);
    assert.deepEqual(await waitsFor({ 'retry-after': '0' }), [0]);
    assert.deepEqual(await waitsFor({ 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }), [9000]);
    assert.deepEqual(await waitsFor({ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }), [0]);
    assert.deepEqual(await waitsFor({ 'retry-after-ms': '5', 'retry-after': '7' }), [5]);
  });

  test('is its own where the server says nothing that can be read', async () => {
    assert.deepEqual(await waitsFor({ 'retry-after': 'soon' }), [437.5]);
  });

  test('of more than a minute is not waited for: the error says how long', async () => {
    const { client, server, waits } = await connected(failing(429, '', { 'retry-after': '61' }));
    const error = await rejection(client.encode('x'));
    assert.deepEqual([error.code, error.data.retryAfterMs, server.requests.length, waits.length], ['HOSTED_RATE_LIMIT', 61_000, 1, 0]);
  });

  test('doubles up to eight seconds, and maxRetries says how often', async () => {
    const { client, server, waits } = await connected(failing(500, ''), { maxRetries: 7 });
    await rejection(client.encode('x'));
    assert.equal(server.requests.length, 8);
    assert.deepEqual(waits.map((ms) => ms / 0.875), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    const never = await connected(failing(500, ''), { maxRetries: 0 });
    assert.equal((await rejection(never.client.encode('x'))).data.attempts, 1);
  });
});

describe('a connection', () => {
  for (const [what, script] of [
    ['that is closed without an answer', (response) => (response.destroy(), true)],
    ['that breaks in the head', (response) => (response.socket?.end('HTTP/1.1 200 OK\r\ncontent-le'), true)],
    ['that breaks in the body', (response) => (response.writeHead(200, { 'content-length': 100 }).write('{"data":', () => response.destroy()), true)],
    ['that answers nonsense', (response) => (response.socket?.end('SSH-2.0-OpenSSH_9.2\r\n'), true)],
  ] as [string, Script][]) {
    test(`${what} is tried again, and then HOSTED_UNREACHABLE`, async () => {
      const { client, server } = await connected(script);
      const error = await rejection(client.encode('x'));
      assert.deepEqual([error.code, error.recoverable, error.data.attempts, server.requests.length], ['HOSTED_UNREACHABLE', true, 3, 3]);
      server.script = undefined;
      assert.ok(await client.encode('x'));
    });
  }

  test('to a server that is not there is HOSTED_UNREACHABLE', async () => {
    const { client, server } = await connected(undefined);
    await server.close();
    const error = await rejection(client.encode('x'));
    assert.equal(error.code, 'HOSTED_UNREACHABLE');
    assert.match(error.message, /could not be reached: .*ECONNREFUSED.* \(after 3 attempts\)/);
  });

  test('that stays silent, in the head or in the body, is HOSTED_TIMEOUT after the time for each attempt', async () => {
    for (const script of [() => true, ((response) => (response.writeHead(200).write('{'), true)) as Script]) {
      const { client } = await connected(script as Script, { timeout: 40 });
      const error = await rejection(client.encode('x'));
      assert.deepEqual([error.code, error.data.timeoutMs, error.data.attempts], ['HOSTED_TIMEOUT', 40, 3]);
    }
  });

  test('that stays silent times out also where a fetch of the caller never heeds its signal', async () => {
    const { client } = await connected(undefined, { timeout: 20, maxRetries: 0, fetch: () => new Promise(() => undefined) });
    assert.equal((await rejection(client.encode('x'))).code, 'HOSTED_TIMEOUT');
  });
});

describe('an abort', () => {
  test('before the call sends nothing', async () => {
    const { client, server } = await connected(undefined);
    await assert.rejects(client.encode('x', { signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.equal(server.requests.length, 0);
  });

  test('while the server computes rejects at once, closes the connection, and is not tried again', async () => {
    const controller = new AbortController();
    let closed = false;
    const { client, server } = await connected((response) => (response.on('close', () => (closed = true)), controller.abort(), true));
    await assert.rejects(client.encode('x', { signal: controller.signal }), { name: 'AbortError' });
    while (!closed) await pause(1);
    assert.equal(server.requests.length, 1);
  });

  test('while it waits for the next attempt rejects at once', async () => {
    const server = await hostedServer(failing(500, '', { 'retry-after': '30' }));
    servers.push(server);
    const controller = new AbortController();
    const clock: Clock = { ...realClock, sleep: (ms, signal) => (queueMicrotask(() => controller.abort()), realClock.sleep(ms, signal)) };
    const call = new HostedClient({ baseURL: server.url }, clock).encode('x', { signal: controller.signal });
    await assert.rejects(call, { name: 'AbortError' });
    assert.equal(server.requests.length, 1);
  });

  test('leaves no listener on its signal', async () => {
    const { client } = await connected(failing(500, '', {}, 2));
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => ((listeners += 1), add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => ((listeners -= 1), remove(...args));
    await client.encode(['a', 'b'], { signal });
    assert.equal(listeners, 0);
  });

  test('by dispose rejects what runs and what comes with DISPOSED', async () => {
    const { client, server } = await connected(() => true);
    const call = rejection(client.encode('x'));
    while (server.requests.length === 0) await pause(1);
    await client.dispose();
    assert.equal((await call).code, 'DISPOSED');
    await assert.rejects(client.encode('x'), { code: 'DISPOSED' });
  });
});

describe('a key in a page', () => {
  const inPage = async (globals: Record<string, unknown>, run: () => void): Promise<void> => {
    const before = Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
    for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { configurable: true, value });
    try {
      run();
    } finally {
      for (const [name, descriptor] of before) {
        if (descriptor === undefined) delete (globalThis as Record<string, unknown>)[name];
        else Object.defineProperty(globalThis, name, descriptor);
      }
    }
  };
  const page = { document: { baseURI: 'https://shop.example/app/' } };
  const worker = { navigator: { userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Chrome/140' } };

  for (const [what, globals] of [['the page', page], ['its workers', worker]] as const) {
    test(`is refused in ${what}, as is an Authorization header, unless dangerouslyAllowBrowser says so`, async () => {
      await inPage(globals, () => {
        for (const options of [{ apiKey: KEY }, { headers: { Authorization: `Bearer ${KEY}` } }]) {
          assert.throws(() => createHostedEmbedder(options), (error: any) => error.code === 'HOSTED_KEY_EXPOSED' && !error.message.includes(KEY) && /your own server/.test(error.message));
        }
        assert.ok(createHostedEmbedder({ apiKey: KEY, dangerouslyAllowBrowser: true }));
      });
    });
  }

  test('is not needed with a proxy, whose address may be relative to the page', async () => {
    await inPage(page, () => assert.equal(createHostedEmbedder({ baseURL: '/api/v1/' }).info.baseURL, 'https://shop.example/api/v1/'));
  });

  test('is allowed where there is no page: Node, Deno, Bun, workerd', async () => {
    for (const userAgent of ['Node.js/22', 'Deno/2.5', 'Bun/1.3', 'Cloudflare-Workers']) {
      await inPage({ navigator: { userAgent } }, () => assert.ok(createHostedEmbedder({ apiKey: KEY })));
    }
  });
});

describe('the key', () => {
  const HEADER = 'session-SECRET-987654321';
  /** Everything of a value that could be printed, sent or stored. */
  const everythingOf = (value: unknown): string => {
    const seen = new Set<unknown>();
    const parts: string[] = [];
    const walk = (each: unknown): void => {
      if (seen.has(each)) return;
      seen.add(each);
      parts.push(String(each), inspect(each, { depth: Infinity, showHidden: true, getters: true }));
      try {
        parts.push(JSON.stringify(each) ?? '');
      } catch { /* cycles are walked below */ }
      if (typeof each !== 'object' || each === null) return;
      for (const name of Reflect.ownKeys(each)) walk((each as Record<string | symbol, unknown>)[name]);
    };
    walk(value);
    return parts.join('\n');
  };
  const assertHidden = (what: string, value: unknown): void => {
    const text = everythingOf(value);
    for (const secret of [KEY, encodeURIComponent(KEY), KEY.slice(5), HEADER, 'SECRET']) assert.ok(!text.includes(secret), `${what} holds ${secret}:\n${text}`);
  };
  const echo = (response: Parameters<Script>[0], request: Parameters<Script>[1]): string => `${request.headers.authorization} ${String(request.headers['x-session'])} ${response.statusCode}`;

  const leaks: [string, Script | undefined, HostedOptions][] = [
    ['a server that repeats it in `detail`', (response, request) => json(response, 401, { detail: `Invalid key ${echo(response, request)}`, code: `CODE_${KEY}`, request_id: KEY }), {}],
    ['a server that repeats it in text', (response, request) => json(response, 400, `${'x'.repeat(180)}${echo(response, request)}`), {}],
    ['a server that repeats it in fields', (response, request) => json(response, 422, { detail: 'no', errors: [{ field: echo(response, request), message: echo(response, request) }] }), {}],
    ["a server that repeats it in OpenAI's form", (response, request) => json(response, 429, { error: { message: echo(response, request), code: KEY } }), {}],
    ['a server that repeats it in a header', (response) => json(response, 500, '', { 'x-request-id': KEY }), {}],
    ['a server that repeats it in the name of a model', (response, request) => json(response, 200, { data: [], usage: {}, model: echo(response, request) }), {}],
    ['a connection that breaks', (response) => (response.destroy(), true), {}],
    ['a timeout', () => true, { timeout: 20 }],
    ['a fetch that throws the request', undefined, { fetch: ((url, init) => Promise.reject(Object.assign(new TypeError(`failed with ${init.headers['authorization']}`, { cause: init }), { config: { url, init }, name: `E-${init.headers['authorization']}` }))) as HostedFetch }],
    ['a fetch that throws a string', undefined, { fetch: ((_url, init) => Promise.reject(JSON.stringify(init))) as HostedFetch }],
  ];
  for (const [what, script, options] of leaks) {
    test(`is in no error of ${what}`, async () => {
      const { client } = await connected(script, { headers: { 'x-session': HEADER }, ...options });
      const error = await rejection(client.encode('x'));
      assertHidden('the error', error);
      assertHidden('its form for a worker', toWire(error));
      assertHidden('its cause', error.cause);
    });
  }

  test('is not to be found in the embedder, its results, its progress, or anything that is logged', async () => {
    const logged: unknown[] = [];
    const names = ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const;
    const originals = names.map((name) => console[name]);
    names.forEach((name) => (console[name] = (...values: unknown[]) => void logged.push(values)));
    const progress: unknown[] = [];
    try {
      const repeats: Script = (response, request, attempt) =>
        json(response, attempt === 1 ? 500 : 200, { ...answer(request.body), model: echo(response, request) });
      const { client } = await connected(repeats, { headers: { 'x-session': HEADER } });
      const result = await client.encode(['a', 'b'], { onProgress: (event) => progress.push(event) });
      assertHidden('the embedder', client);
      assertHidden('its bound method', client.encode.bind(client));
      assertHidden('the result', result);
    } finally {
      names.forEach((name, i) => (console[name] = originals[i] as typeof console.log));
    }
    assert.equal(progress.length, 1);
    assertHidden('progress', progress);
    assert.deepEqual(logged, []);
  });

  test('is not to be found in the error of an option', () => {
    for (const options of [{ apiKey: `${KEY}\n` }, { apiKey: KEY, headers: { 'x-session': `${HEADER}\0` } }, { apiKey: KEY, baseURL: `ftp://host/?key=1` }]) {
      try {
        createHostedEmbedder(options);
        assert.fail('accepted');
      } catch (error) {
        assertHidden('the error', error);
      }
    }
  });

  test('in the query of the address is shown nowhere either', async () => {
    const { client } = await connected(undefined);
    const base = client.info.baseURL;
    const keyed = new HostedClient({ baseURL: `${base}?key=${encodeURIComponent(KEY)}`, fetch: (url) => Promise.reject(new Error(`no route to ${url}`)), maxRetries: 0 });
    assertHidden('the embedder', keyed);
    assertHidden('the error', await rejection(keyed.encode('x')));
  });

  test('is hidden in each of its written forms, longest first', () => {
    const secrets = new Secrets(['a+b/c', 'a+b/c"d'], ['short']);
    assert.equal(secrets.redact('a+b/c a%2Bb%2Fc a+b/c\\"d short'), '[redacted] [redacted] [redacted] short');
  });
});
