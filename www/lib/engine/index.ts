// The engine by itself: what the worker runs, and what `worker: false` runs in the calling thread.

import type { Endpoint } from '../worker/protocol.js';
import { loadFace } from './load-face.js';
import { serve } from './serve.js';
import { uncaughtInPage, uncaughtInWorker } from './uncaught.js';

/** Serves the page from a worker, whose global scope this is. */
export function serveFromWorker(scope: Endpoint & EventTarget): void {
  serve(scope, loadFace, uncaughtInWorker(scope));
}

/** Serves the other end of `port`, in the same thread. */
export function serveInThread(port: Endpoint): void {
  serve(port, loadFace, uncaughtInPage(globalThis as Partial<EventTarget>));
}
