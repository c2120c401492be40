// Sends what is meant for the hosted API to the test's server: `node --import ./fake-api.mjs example.mjs`.
const { fetch } = globalThis;
globalThis.fetch = (url, init) => fetch(String(url).replace('https://api.jina.ai/v1', process.env.TEST_API), init);
