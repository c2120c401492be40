// The service worker: the page's own files from their cache, so that it opens without a network after the first visit.
// The model is kept by the package. `FILES` and `VERSION` are put in when the page is built.
declare const FILES: readonly string[];
declare const VERSION: string;

const scope = self as unknown as ServiceWorkerGlobalScope;

const PAGE = `light-table-page-${VERSION}`;
/** Where earlier versions of this page kept models. */
const FORMER_MODELS = 'light-table-models';

scope.addEventListener('install', (event) => {
  event.waitUntil((async () => {
    await (await caches.open(PAGE)).addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' })));
    await scope.skipWaiting();
  })());
});

scope.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if ((name.startsWith('light-table-page-') && name !== PAGE) || name === FORMER_MODELS) await caches.delete(name);
    await scope.clients.claim();
  })());
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== scope.location.origin || request.headers.has('range')) return;
  if (!/\/model\.json$|\.gguf$/.test(url.pathname)) event.respondWith(page(request, url));
});

/** The page's files as they were installed; the network for what else there is. */
async function page(request: Request, url: URL): Promise<Response> {
  const cache = await caches.open(PAGE);
  const found = await cache.match(request.mode === 'navigate' ? scope.registration.scope : url.origin + url.pathname);
  return found ?? fetch(request);
}
