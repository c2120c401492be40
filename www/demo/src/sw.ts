// The service worker: the page's own files from their cache, so that it opens without a network after the first visit,
// and small models too, kept as they are fetched. `FILES` and `VERSION` are put in when the page is built.
declare const FILES: readonly string[];
declare const VERSION: string;

const scope = self as unknown as ServiceWorkerGlobalScope;

const PAGE = `light-table-page-${VERSION}`;
const MODELS = 'light-table-models';
/** Larger files are the visitor's own business: they would fill the disk unasked. */
const MAX_MODEL_FILE_BYTES = 64e6;

scope.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    await (await caches.open(PAGE)).addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' })));
    await scope.skipWaiting();
  })());
});

scope.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith('light-table-page-') && name !== PAGE) await caches.delete(name);
    await scope.clients.claim();
  })());
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== scope.location.origin || request.headers.has('range')) return;
  if (url.pathname.endsWith('/model.json')) event.respondWith(modelCard(request));
  else if (url.pathname.endsWith('.gguf')) event.respondWith(modelFile(request));
  else event.respondWith(page(request, url));
});

/** The page's files as they were installed; the network for what else there is. */
async function page(request: Request, url: URL): Promise<Response> {
  const cache = await caches.open(PAGE);
  const found = await cache.match(request.mode === 'navigate' ? scope.registration.scope : url.origin + url.pathname);
  return found ?? fetch(request);
}

/** The network's, since a model may be replaced; then the files of the old one are let go. */
async function modelCard(request: Request): Promise<Response> {
  const cache = await caches.open(MODELS);
  const kept = await cache.match(request.url);
  let response: Response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
  if (!response.ok) return response;
  const text = await response.clone().text();
  if (kept && (await kept.text()) !== text) {
    const folder = request.url.slice(0, request.url.lastIndexOf('/') + 1);
    for (const key of await cache.keys()) if (key.url.startsWith(folder)) await cache.delete(key);
  }
  await cache.put(request.url, response.clone()).catch(() => undefined);
  return response;
}

async function modelFile(request: Request): Promise<Response> {
  const cache = await caches.open(MODELS);
  const kept = await cache.match(request.url);
  if (kept) return kept;
  const response = await fetch(request);
  const n_bytes = Number(response.headers.get('content-length'));
  // A copy that breaks off is not kept; the page checks every file's hash besides.
  if (response.status === 200 && n_bytes > 0 && n_bytes <= MAX_MODEL_FILE_BYTES) void cache.put(request.url, response.clone()).catch(() => undefined);
  return response;
}
