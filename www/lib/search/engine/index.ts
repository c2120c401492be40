// The search engine by itself: what its worker runs, and what `worker: false` runs in the calling thread.

import { serveCalls, type Port } from '../rpc.js';
import { SearchEngine } from './engine.js';
import { loadSearchFace } from './load-face.js';

export function serveSearch(port: Port): void {
  serveCalls(port, (tell) => new SearchEngine(loadSearchFace, () => tell('change')));
}
