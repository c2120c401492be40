// Every entry may be imported on a server, does nothing at import, and offers the same names everywhere.
const before = Object.getOwnPropertyNames(globalThis).length;
const names = {};
for (const entry of ['', '/hosted', '/openai']) names[entry] = Object.keys(await import(`jina-embeddings-web${entry}`)).sort();
const page = Object.keys(await import('./node_modules/jina-embeddings-web/dist/index.js')).sort();
console.log(JSON.stringify({ names, page, added: Object.getOwnPropertyNames(globalThis).length - before }));
