// The hosted client against a real HTTP server: what is sent, what becomes of the answer.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { createHostedEmbedder, type HostedEncodeOptions, type HostedInput, type HostedOptions } from '../../www/lib/hosted/index.js';
import { encodePng } from '../../www/lib/hosted/png.js';
import { Batches } from '../../www/lib/hosted/batches.js';
import { compareSpaces } from '../../www/lib/spaces.js';
import { answer, hostedServer, json, vectorOf, type HostedServer, type Script } from './support/hosted-server.js';
import { bytesOf } from './support/model-server.js';

const servers: HostedServer[] = [];
const serve = async (script?: Script): Promise<HostedServer> => {
  const server = await hostedServer(script);
  servers.push(server);
  return server;
};
after(() => Promise.all(servers.map((server) => server.close())));

const KEY = 'jina_0123456789abcdef';
async function connected(options: HostedOptions = {}, script?: Script): Promise<{ server: HostedServer; embedder: ReturnType<typeof createHostedEmbedder> }> {
  const server = await serve(script);
  return { server, embedder: createHostedEmbedder({ apiKey: KEY, baseURL: server.url, ...options }) };
}

describe('a request', () => {
  test('goes to /embeddings with the key as a bearer token, and the options in the words of the API', async () => {
    const { server, embedder } = await connected();
    await embedder.encode(['a', { text: 'bb' }], { task: 'retrieval.passage', dimensions: 4, truncate: true });
    const [{ path, headers, body } = assert.fail()] = server.requests;
    assert.equal(path, 'POST /v1/embeddings');
    assert.equal(headers.authorization, `Bearer ${KEY}`);
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(body, { model: 'jina-embeddings-v4', input: ['a', 'bb'], task: 'retrieval.passage', dimensions: 4, embedding_type: 'base64', truncate: true });
  });

  test('without a key has no authorization, and carries the headers of the caller', async () => {
    const { server, embedder } = await connected({ apiKey: undefined, headers: { 'X-Session': 'abc' } });
    await embedder.encode('a');
    assert.equal(server.requests[0]?.headers.authorization, undefined);
    assert.equal(server.requests[0]?.headers['x-session'], 'abc');
  });

  for (const [model, options, expected] of [
    ['jina-embeddings-v4', { task: 'code.query', returnMultivector: true, returnTokenizedInput: true }, { task: 'code.query', embedding_type: 'base64', return_multivector: true, return_tokenized_input: true }],
    ['jina-embeddings-v4', { lateChunking: true, embeddingType: ['float', 'ubinary'] }, { late_chunking: true, embedding_type: ['float', 'ubinary'] }],
    ['jina-embeddings-v3', { task: 'separation', normalized: false, embeddingType: 'binary' }, { task: 'separation', normalized: false, embedding_type: 'binary' }],
    ['jina-clip-v2', { task: 'retrieval.query', normalized: true, dimensions: 64 }, { task: 'retrieval.query', normalized: true, dimensions: 64, embedding_type: 'base64' }],
    ['jina-code-embeddings-0.5b', { task: 'nl2code.query', dimensions: 896 }, { task: 'nl2code.query', dimensions: 896, embedding_type: 'base64' }],
    ['jina-code-embeddings-1.5b', { task: 'code2completion.passage', dimensions: 1536 }, { task: 'code2completion.passage', dimensions: 1536, embedding_type: 'base64' }],
    ['a-model-of-tomorrow', { task: 'anything', lateChunking: true }, { task: 'anything', late_chunking: true, embedding_type: 'base64' }],
  ] as const) {
    test(`of ${model} carries ${Object.keys(options).join(', ')}`, async () => {
      const { server, embedder } = await connected({ model });
      await embedder.encode(['abc'], options as HostedEncodeOptions);
      assert.deepEqual(server.requests[0]?.body, { model, input: ['abc'], ...expected });
    });
  }

  for (const [model, options, message] of [
    ['jina-embeddings-v4', { task: 'classification' }, /`task` must be one of text-matching, .* not "classification"/],
    ['jina-embeddings-v4', { dimensions: 2049 }, /`dimensions` must be a whole number from 1 to 2048/],
    ['jina-embeddings-v4', { dimensions: 128, returnMultivector: true }, /cannot be combined with `returnMultivector`/],
    ['jina-embeddings-v4', { returnTokenizedInput: true }, /needs `returnMultivector`/],
    ['jina-embeddings-v4', { normalized: false }, /`normalized` must be true for jina-embeddings-v4/],
    ['jina-embeddings-v4', { embeddingType: 'int8' }, /`embeddingType` must be "float"/],
    ['jina-embeddings-v4', { embeddingType: [] }, /`embeddingType` must be/],
    ['jina-embeddings-v4', { truncate: 'yes' }, /`truncate` must be true or false, not "yes"/],
    ['jina-embeddings-v4', { onInputError: 'skip' }, /`onInputError` must be "throw" or "null"/],
    ['jina-embeddings-v3', { returnMultivector: true }, /`returnMultivector` is not offered by jina-embeddings-v3/],
    ['jina-embeddings-v3', { dimensions: 1025 }, /from 1 to 1024/],
    ['jina-clip-v2', { lateChunking: true }, /`lateChunking` is not offered by jina-clip-v2/],
    ['jina-clip-v2', { task: 'retrieval.passage' }, /must be one of retrieval.query/],
    ['jina-code-embeddings-0.5b', { dimensions: 897 }, /from 1 to 896/],
  ] as const) {
    test(`of ${model} with ${JSON.stringify(options)} is refused before it is sent`, async () => {
      const { server, embedder } = await connected({ model });
      await assert.rejects(embedder.encode('x', options as unknown as HostedEncodeOptions), { name: 'EmbedderError', code: 'INPUT_INVALID', message });
      assert.equal(server.requests.length, 0);
    });
  }

  test('with an option of the client that makes no sense is refused by name', () => {
    for (const [options, message] of [
      [{ baseURL: 'nowhere' }, /`hosted.baseURL` must be an address/],
      [{ baseURL: 'ftp://host/v1' }, /http: or https:, not ftp:/],
      [{ baseURL: 'https://user:password@host/v1' }, /no user name and no password/],
      [{ apiKey: 'with\nnewline' }, /`hosted.apiKey` must be a string of printable ASCII/],
      [{ apiKey: '' }, /`hosted.apiKey`/],
      [{ headers: { 'x-a': 'b\n' + 'c\0' } }, /`hosted.headers` holds a name or a value/],
      [{ batchSize: 2049 }, /`hosted.batchSize` must be a whole number from 1 to 2048, not 2049/],
      [{ timeout: 0 }, /`hosted.timeout`/],
      [{ maxRetries: -1 }, /`hosted.maxRetries`/],
      [{ concurrency: 1.5 }, /`hosted.concurrency`/],
      [{ model: '' }, /`hosted.model`/],
    ] as const) {
      assert.throws(() => createHostedEmbedder(options as HostedOptions), { code: 'INPUT_INVALID', message });
    }
  });
});

describe('inputs', () => {
  const sent = async (input: HostedInput): Promise<unknown> => {
    const { server, embedder } = await connected();
    await embedder.encode(input);
    return server.requests[0]?.body['input'];
  };
  const bytes = bytesOf(1000);
  const base64 = Buffer.from(bytes).toString('base64');

  test('that are addresses of pictures are passed on', async () => {
    assert.deepEqual(await sent({ image: 'https://host/cat.jpg' }), [{ image: 'https://host/cat.jpg' }]);
    assert.deepEqual(await sent({ image: new URL('http://host/cat.jpg?x=1') }), [{ image: 'http://host/cat.jpg?x=1' }]);
  });

  test("that are a picture's bytes, in any form, are sent as base64", async () => {
    for (const image of [new Blob([bytes as BlobPart]), bytes, bytes.buffer as ArrayBuffer, Buffer.from(bytes), `data:image/png;base64,${base64}`]) {
      assert.deepEqual(await sent({ image }), [{ image: base64 }]);
    }
    const png = `iVBORw0KGgo${'A'.repeat(33)}`;
    assert.deepEqual(await sent({ image: png }), [{ image: png }]);
  });

  test('that are pixels become a PNG of exactly those pixels', async () => {
    const [width, height] = [5, 3];
    const data = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => (i * 37) % 256);
    const [{ image } = assert.fail()] = (await sent({ image: { width, height, data, [Symbol.toStringTag]: 'ImageData' } as unknown as ImageData })) as { image: string }[];
    assert.deepEqual(decodePng(Buffer.from(image, 'base64')), { width, height, channels: 4, pixels: [...data] });
  });

  test('that are a PDF go alone, and one vector comes back for each page', async () => {
    const { server, embedder } = await connected();
    const pdf = Buffer.from('%PDF-1.7 and so on, in a file that is long enough');
    const { embedding, embeddings } = await embedder.encode({ pdf });
    assert.deepEqual(server.requests[0]?.body['input'], { pdf: pdf.toString('base64') });
    assert.deepEqual(embeddings.map((vector) => vector[0]), ['page 1'.length, 'page 22'.length]);
    assert.equal(embedding, embeddings[0]);
    await embedder.encode([{ pdf: 'https://host/a.pdf' }]);
    assert.deepEqual(server.requests[1]?.body['input'], { pdf: 'https://host/a.pdf' });
    await embedder.encode({ pdf: pdf.toString('base64') });
    assert.deepEqual(server.requests[2]?.body['input'], { pdf: pdf.toString('base64') });
    await assert.rejects(embedder.encode(['text', { pdf }]), { code: 'INPUT_INVALID', message: /only input of its call/ });
  });

  test('that are bad are all listed before anything is sent', async () => {
    const { server, embedder } = await connected();
    const error = await embedder.encode(['good', '', { image: 7 as unknown as string }, { pdf: 'no address' }, { image: new Uint8Array((8 << 20) + 1) }, { text: 3 as unknown as string }]).catch((reason) => reason);
    assert.equal(error.code, 'INPUT_INVALID');
    assert.deepEqual(error.inputs.map(({ index }: { index: number }) => index), [1, 2, 3, 4, 5]);
    assert.match(error.inputs[3].message, /at most 8388608 bytes, this one has 8388609/);
    assert.equal(server.requests.length, 0);
  });

  test('that only the reader of files could open are refused, with what to do', async () => {
    const { embedder } = await connected();
    await assert.rejects(embedder.encode({ image: 'file:///etc/passwd' }), { code: 'INPUT_INVALID', message: /found file:; read the file and give its bytes/ });
  });

  test('that are pictures are refused for a model of texts', async () => {
    const { embedder } = await connected({ model: 'jina-embeddings-v3' });
    await assert.rejects(embedder.encode({ image: bytes }), { code: 'INPUT_INVALID', message: /jina-embeddings-v3 takes texts only/ });
  });

  test("with onInputError 'null' leave null where they were bad, also where only the server can tell which", async () => {
    const { server, embedder } = await connected({}, (response, { body }) => (body['input'].includes('too long') ? json(response, 422, { detail: 'Input too long' }) : undefined));
    const { embeddings, errors } = await embedder.encode(['a', 'bb', 'too long', '', 'ddd'], { onInputError: 'null' });
    assert.deepEqual(embeddings.map((vector) => vector?.[0]), [1, 2, undefined, undefined, 3]);
    assert.deepEqual(errors.map(({ index, code }) => [index, code]), [[2, 'HOSTED_REJECTED'], [3, 'INPUT_INVALID']]);
    assert.ok(server.requests.length <= 5);
    await assert.rejects(embedder.encode(['a', 'too long']), { code: 'HOSTED_REJECTED', data: { status: 422, attempts: 1 } });
  });
});

describe('the answer', () => {
  test('is put in the order of the inputs by its indices', async () => {
    const { embedder } = await connected({}, (response, { body }) => {
      const whole = answer(body) as { data: unknown[] };
      return json(response, 200, { ...whole, data: whole.data.reverse() });
    });
    const { embeddings } = await embedder.encode(['a', 'bb', 'ccc']);
    assert.deepEqual(embeddings.map((vector) => vector[0]), [1, 2, 3]);
  });

  test('as floats is the same whether the server sends base64 or numbers', async () => {
    for (const forced of ['base64', 'float']) {
      const { embedder } = await connected({}, (response, { body }) => json(response, 200, answer({ ...body, embedding_type: forced })));
      const { embedding, dimensions } = await embedder.encode('abc');
      assert.ok(embedding instanceof Float32Array);
      assert.deepEqual([...embedding], vectorOf('abc'));
      assert.equal(dimensions, 8);
    }
  });

  test('in other forms is a string or the packed bytes', async () => {
    const { embedder } = await connected();
    const ones = { dimensions: 16 };
    const floats = Float32Array.from(vectorOf('abc', 16));
    assert.equal((await embedder.encode('abc', { ...ones, embeddingType: 'base64' })).embedding, Buffer.from(floats.buffer).toString('base64'));
    const ubinary = await embedder.encode('abc', { ...ones, embeddingType: 'ubinary' });
    assert.deepEqual(ubinary.embedding, Uint8Array.of(0b1110_1101, 0b1011_0110));
    assert.equal(ubinary.dimensions, 16);
    const binary = await embedder.encode('abc', { ...ones, embeddingType: 'binary' });
    assert.deepEqual(binary.embedding, Int8Array.of(0b1110_1101 - 128, 0b1011_0110 - 128));
    const list = await embedder.encode('abc', { ...ones, embeddingType: ['float', 'ubinary'] });
    assert.deepEqual(list.embedding, { float: floats, ubinary: ubinary.embedding });
    assert.equal(list.dimensions, 16);
    assert.equal((await embedder.encode('abc', { ...ones, embeddingType: ['base64'] })).embedding.base64, Buffer.from(floats.buffer).toString('base64'));
  });

  test('with one vector per token is reached by row, under `embeddings` or `embedding`', async () => {
    for (const rename of [false, true]) {
      const { embedder } = await connected({}, (response, { body }) => json(response, 200, JSON.stringify(answer(body)).replaceAll('"embeddings":', rename ? '"embedding":' : '"embeddings":')));
      const { embedding, dimensions, tokenizedInputs } = await embedder.encode('abc', { returnMultivector: true, returnTokenizedInput: true });
      assert.deepEqual([embedding.rows, embedding.dimensions, dimensions], [3, 8, 8]);
      assert.deepEqual([...embedding.row(2)], vectorOf('abc').map((value) => value + 2));
      assert.deepEqual(tokenizedInputs, [['a', 'b', 'c']]);
      const bits = await embedder.encode('abc', { returnMultivector: true, embeddingType: 'ubinary' });
      assert.deepEqual([bits.embedding.rows, bits.embedding.dimensions, bits.dimensions], [3, 1, 8]);
    }
  });

  test('names its source and a space that keeps apart what may not be compared', async () => {
    const { embedder } = await connected();
    const spaceOf = async (options: HostedEncodeOptions = {}): Promise<string> => (await embedder.encode('x', options)).space;
    const result = await embedder.encode('x', { task: 'retrieval.query' });
    assert.deepEqual([result.source, result.device, result.model], ['hosted', null, 'jina-embeddings-v4']);
    assert.equal(result.space, 'hosted/jina-embeddings-v4/retrieval/mean-l2/8');
    assert.equal(await spaceOf({ task: 'retrieval.passage' }), result.space);
    assert.equal(await spaceOf(), 'hosted/jina-embeddings-v4/text-matching/mean-l2/8');
    assert.equal(await spaceOf({ returnMultivector: true }), 'hosted/jina-embeddings-v4/text-matching/tokens-l2/8');
    assert.equal(await spaceOf({ embeddingType: 'ubinary' }), 'hosted/jina-embeddings-v4/text-matching/mean-l2/8/ubinary');
    const own = await connected({ space: 'tiny/q4_0/q8_0/abc' });
    assert.equal((await own.embedder.encode('x', { task: 'code.query' })).space, 'tiny/q4_0/q8_0/abc/code/mean-l2/8');
    const v3 = await connected({ model: 'jina-embeddings-v3' });
    assert.equal((await v3.embedder.encode('x', { normalized: false })).space, 'hosted/jina-embeddings-v3/default/mean/8');
  });

  const entry = { object: 'embedding', index: 0, embedding: [1, 2] };
  const usage = { total_tokens: 3, prompt_tokens: 3 };
  for (const [what, body, message] of [
    ['no JSON', 'hello', /needed JSON, found 5 characters/],
    ['a page', '<html>Welcome to the hotel</html>', /found a page of HTML/],
    ['nothing', '', /needed JSON, found nothing/],
    ['null', 'null', /needed a list `data`/],
    ['a list', '[]', /needed a list `data`/],
    ['no data', { usage }, /needed a list `data`/],
    ['too few entries', { data: [], usage }, /needed 1 entries in `data`, found 0/],
    ['too many entries', { data: [entry, { ...entry, index: 1 }], usage }, /needed 1 entries in `data`, found 2/],
    ['no usage', { data: [entry] }, /usage\.total_tokens/],
    ['usage that is no number', { data: [entry], usage: { total_tokens: 'many' } }, /usage\.total_tokens/],
    ['an entry that is none', { data: [7], usage }, /needed data\[0\] to be an object/],
    ['an index that is not there', { data: [{ ...entry, index: 1 }], usage }, /data\[0\]\.index to be a place of its own below 1, found 1/],
    ['an index that is no number', { data: [{ ...entry, index: 'a' }], usage }, /data\[0\]\.index/],
    ['no vector', { data: [{ index: 0 }], usage }, /found undefined/],
    ['an empty vector', { data: [{ index: 0, embedding: [] }], usage }, /found an empty one/],
    ['a vector of words', { data: [{ index: 0, embedding: ['a'] }], usage }, /needed data\[0\] to hold numbers/],
    ['null in a vector', { data: [{ index: 0, embedding: [1, null] }], usage }, /needed data\[0\] to hold numbers/],
    ['numbers beyond floats', { data: [{ index: 0, embedding: [1e300] }], usage }, /finite numbers/],
    ['base64 of not-a-number', { data: [{ index: 0, embedding: Buffer.from(Float32Array.of(NaN).buffer).toString('base64') }], usage }, /finite numbers/],
    ['base64 that is none', { data: [{ index: 0, embedding: '%%%' }], usage }, /base64 text/],
    ['base64 of three bytes', { data: [{ index: 0, embedding: 'AAAA' }], usage }, /32-bit floats, found 3 bytes/],
  ] as const) {
    test(`that is a success with ${what} is HOSTED_RESPONSE, and no vector`, async () => {
      const { embedder } = await connected({}, (response) => json(response, 200, body, { 'x-request-id': 'r-1' }));
      await assert.rejects(embedder.encode('x'), { code: 'HOSTED_RESPONSE', message, recoverable: true, data: { requestId: 'r-1' } });
    });
  }

  test('is refused where vectors differ in length, entries repeat, or the length asked for is not there', async () => {
    const reply = (data: unknown[]): Script => (response) => json(response, 200, { data, usage });
    const differ = await connected({}, reply([entry, { index: 1, embedding: [1] }]));
    await assert.rejects(differ.embedder.encode(['a', 'b']), { code: 'HOSTED_RESPONSE', message: /2 dimensions as the others do, found 1/ });
    const repeat = await connected({}, reply([entry, entry]));
    await assert.rejects(repeat.embedder.encode(['a', 'b']), { code: 'HOSTED_RESPONSE', message: /data\[1\]\.index/ });
    const short = await connected({}, reply([entry]));
    await assert.rejects(short.embedder.encode('a', { dimensions: 4 }), { code: 'HOSTED_RESPONSE', message: /needed vectors of 4 dimensions, found 2/ });
    const bits = await connected({}, reply([{ index: 0, embedding: [300] }]));
    await assert.rejects(bits.embedder.encode('a', { embeddingType: 'ubinary' }), { code: 'HOSTED_RESPONSE', message: /whole numbers from 0 to 255/ });
    const forms = await connected({}, reply([entry]));
    await assert.rejects(forms.embedder.encode('a', { embeddingType: ['float', 'binary'] }), { code: 'HOSTED_RESPONSE', message: /hold float and binary by name/ });
  });
});

describe('batches', () => {
  test('keep to the number of inputs, and their results to the order, whatever order they come in', async () => {
    const { server, embedder } = await connected({ batchSize: 3, concurrency: 2 }, (response, { body }) => {
      setTimeout(() => json(response, 200, answer(body)), body['input'].includes('x') ? 40 : 1);
      return true;
    });
    const texts = Array.from({ length: 10 }, (_, i) => 'x'.repeat(i + 1));
    const progress: number[] = [];
    const { embeddings, usage } = await embedder.encode(texts, { onProgress: ({ done, total }) => progress.push(done / total) });
    assert.deepEqual(embeddings.map((vector) => vector[0]), texts.map((text) => text.length));
    assert.deepEqual(server.requests.map(({ body }) => body['input'].length).sort(), [1, 3, 3, 3]);
    assert.equal(server.load.most, 2);
    assert.deepEqual(usage, { tokens: 55 + 4, promptTokens: 55, images: 0, requests: 4 });
    assert.equal(progress.at(-1), 1);
    assert.deepEqual(progress, [...progress].sort());
  });

  test('keep to the number of bytes, where one larger input goes alone', async () => {
    const written: string[] = [];
    const documents = ['"a"', '"bb"', `"${'c'.repeat(30)}"`, '"é"', '"dd"'];
    const batches = new Batches([0, 1, 2, 3, 4], async (i) => (written.push(documents[i] as string), documents[i]), { inputs: 10, bytes: 8 });
    assert.deepEqual((await batches.next())?.indices, [0, 1]);
    // One ahead of what was asked for, and no more.
    assert.equal(written.length, 3);
    assert.deepEqual((await batches.next())?.indices, [2]);
    assert.deepEqual((await batches.next())?.indices, [3, 4]);
    assert.equal(await batches.next(), undefined);
  });

  test('of late chunking are one, and too many texts for it are refused', async () => {
    const { server, embedder } = await connected({ batchSize: 2 });
    await embedder.encode(['a', 'b', 'c'], { lateChunking: true });
    assert.equal(server.requests.length, 1);
    await assert.rejects(embedder.encode(new Array(2049).fill('x'), { lateChunking: true }), { code: 'INPUT_INVALID', message: /at most 2048, found 2049/ });
    await assert.rejects(embedder.encode(['a', { image: 'https://host/a.png' }], { lateChunking: true }), { code: 'INPUT_INVALID', message: /late chunking takes texts only/ });
  });

  test('end together: the failure of one ends the others, and is the failure of the call', async () => {
    let closed = 0;
    const { server, embedder } = await connected({ batchSize: 1, concurrency: 3, maxRetries: 0 }, (response, { body }) => {
      response.on('close', () => (closed += 1));
      return body['input'][0] === 'bad' ? (setTimeout(() => json(response, 400, { detail: 'no' }), 20), true) : true;
    });
    await assert.rejects(embedder.encode(['slow', 'bad', 'slow', 'never sent']), { code: 'HOSTED_REJECTED' });
    while (server.load.now > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(closed, 3);
  });

  test('of different models or lengths are never mixed', async () => {
    const models = await connected({ batchSize: 1, concurrency: 1 }, (response, { body }, attempt) => json(response, 200, { ...answer(body), model: `model-${attempt}` }));
    await assert.rejects(models.embedder.encode(['a', 'b']), { code: 'HOSTED_RESPONSE', message: /different models: model-1, then model-2/ });
    const lengths = await connected({ batchSize: 1, concurrency: 1 }, (response, { body }, attempt) => json(response, 200, answer({ ...body, dimensions: attempt })));
    await assert.rejects(lengths.embedder.encode(['a', 'b']), { code: 'HOSTED_RESPONSE', message: /different dimensions: 1, then 2/ });
  });
});

describe('spaces', () => {
  test('are the same, close or different', () => {
    const hosted = 'hosted/jina-embeddings-v4/retrieval/mean-l2/512';
    const local = 'jina-embeddings-v4/q4_0/q8_0/0a1b2c/retrieval/mean-l2/512';
    assert.equal(compareSpaces(hosted, hosted), 'same');
    assert.equal(compareSpaces(hosted, local), 'close');
    assert.equal(compareSpaces(local, 'jina-embeddings-v4-text-retrieval-Q4_K_M/retrieval/mean-l2/512'), 'close');
    assert.equal(compareSpaces(hosted, local.replace('512', '256')), 'different');
    assert.equal(compareSpaces(hosted, local.replace('retrieval', 'code')), 'different');
    assert.equal(compareSpaces(hosted, local.replace('mean', 'tokens')), 'different');
    assert.equal(compareSpaces(hosted, hosted.replace('v4', 'v3')), 'different');
    assert.equal(compareSpaces(`${hosted}/ubinary`, local), 'different');
    assert.equal(compareSpaces(`${hosted}/ubinary`, `${local}/ubinary`), 'close');
    assert.equal(compareSpaces('tiny/a/retrieval/mean-l2/4', 'tiny/b/retrieval/mean-l2/4'), 'different');
  });
});

test('a PNG without transparency has three channels', async () => {
  const rgba = Uint8ClampedArray.of(1, 2, 3, 255, 250, 251, 252, 255);
  const png = decodePng(Buffer.from(await encodePng({ width: 2, height: 1, rgba })));
  assert.deepEqual(png, { width: 2, height: 1, channels: 3, pixels: [1, 2, 3, 250, 251, 252] });
});

/** A reader of its own, by the standard: https://www.w3.org/TR/png-3/#9Filters. */
function decodePng(file: Buffer): { width: number; height: number; channels: number; pixels: number[] } {
  assert.equal(file.subarray(0, 8).toString('latin1'), '\x89PNG\r\n\x1a\n');
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) chunks.set(file.toString('latin1', at + 4, at + 8), file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  const header = chunks.get('IHDR') ?? assert.fail();
  const [width, height, channels] = [header.readUInt32BE(0), header.readUInt32BE(4), header[9] === 2 ? 3 : 4];
  const raw = inflateSync(chunks.get('IDAT') ?? assert.fail());
  const stride = width * channels;
  const out: number[] = [];
  for (let y = 0; y < height; y += 1) {
    assert.equal(raw[y * (stride + 1)], 4);
    for (let x = 0; x < stride; x += 1) {
      const left = x < channels ? 0 : (out[y * stride + x - channels] as number);
      const up = y === 0 ? 0 : (out[(y - 1) * stride + x] as number);
      const corner = x < channels || y === 0 ? 0 : (out[(y - 1) * stride + x - channels] as number);
      const p = left + up - corner;
      const nearest = [left, up, corner].reduce((best, value) => (Math.abs(p - value) < Math.abs(p - best) ? value : best));
      out.push(((raw[y * (stride + 1) + 1 + x] as number) + nearest) & 255);
    }
  }
  assert.ok(chunks.has('IEND'));
  return { width, height, channels, pixels: out };
}
