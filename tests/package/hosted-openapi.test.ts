// Every request that the hosted client sends holds to the API's own description, and so does the server
// that stands for the API in these tests: the description's schemas are in tests/fixtures/hosted_api.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { createHostedEmbedder, type HostedEncodeOptions, type HostedInput, type HostedModel } from '../../www/lib/hosted/index.js';
import { answer } from './support/hosted-server.js';

interface Description { components: { schemas: Record<string, { properties: Record<string, { anyOf?: { enum?: string[]; const?: string }[] }> }> } }
const description = JSON.parse(readFileSync(join(import.meta.dirname, '../../../../tests/fixtures/hosted_api/schemas.json'), 'utf8')) as Description;
const { schemas } = description.components;
const ajv = new Ajv2020({ strict: false });
ajv.addSchema(description, 'api');

const MODELS: readonly [HostedModel, string][] = [
  ['jina-embeddings-v4', 'EmbeddingsV4Request'],
  ['jina-embeddings-v3', 'EmbeddingsV3Request'],
  ['jina-clip-v2', 'ClipV2Request'],
  ['jina-code-embeddings-0.5b', 'CodeEmbeddings500MRequest'],
  ['jina-code-embeddings-1.5b', 'CodeEmbeddings1500MRequest'],
];
/** The name of each option in the description. */
const FIELDS = { truncate: 'truncate', lateChunking: 'late_chunking', normalized: 'normalized', returnMultivector: 'return_multivector', returnTokenizedInput: 'return_tokenized_input' } as const;

for (const [model, schema] of MODELS) {
  test(`every task, option and input of ${model} is sent as ${schema} says`, async () => {
    const { properties } = schemas[schema] ?? assert.fail(schema);
    const isRequest = ajv.compile({ $ref: `api#/components/schemas/${schema}` });
    const isResponse = ajv.compile({ $ref: 'api#/components/schemas/EmbeddingResponse' });
    const bodies: Record<string, unknown>[] = [];
    const embedder = createHostedEmbedder({
      model,
      fetch: async (_url, { body }) => {
        const request = JSON.parse(body) as Record<string, unknown>;
        bodies.push(request);
        const response = answer(request);
        // The description has no form for several at once.
        if (!Array.isArray(request['embedding_type'])) assert.ok(isResponse(response), ajv.errorsText(isResponse.errors));
        return Response.json(response);
      },
    });
    const stated = properties['task']?.anyOf?.flatMap(({ enum: names, const: name }) => names ?? name ?? []) ?? [];
    const tasks = [undefined, ...stated] as HostedEncodeOptions['task'][];
    const inputs: (HostedInput | HostedInput[])[] = ['a', ['a', { text: 'b' }]];
    if (JSON.stringify(properties['input']).includes('ImageDoc')) inputs.push(['a', { image: Uint8Array.of(1, 2, 3) }], { image: 'https://host/a.png' }, { pdf: 'https://host/a.pdf' });
    const flags = Object.entries(FIELDS).filter(([, field]) => field in properties && field !== 'return_tokenized_input').map(([option]) => ({ [option]: true }) as HostedEncodeOptions);
    const more: HostedEncodeOptions[] = [{}, { dimensions: 64 }, { embeddingType: 'float' }, { embeddingType: 'base64' }, { embeddingType: 'binary' }, { embeddingType: ['float', 'ubinary'] }, ...flags];
    if ('return_tokenized_input' in properties) more.push({ returnMultivector: true, returnTokenizedInput: true });
    if ('normalized' in properties) more.push({ normalized: false });
    for (const task of tasks) {
      for (const options of more) {
        for (const input of inputs) {
          if (options.lateChunking === true && JSON.stringify(input).match(/image|pdf/)) continue;
          await embedder.encode(input as HostedInput[], { task, ...options });
        }
      }
    }
    for (const body of bodies) {
      assert.ok(isRequest(body), `${JSON.stringify(body)}: ${ajv.errorsText(isRequest.errors)}`);
      assert.deepEqual(Object.keys(body).filter((field) => !(field in properties)), []);
    }
    // Nothing that the description offers is left unused.
    assert.deepEqual(Object.keys(properties).filter((field) => !bodies.some((body) => field in body)), []);
  });
}
