// The engine by itself: what the worker runs, and what `worker: false` runs in the calling thread.
export { serve } from './serve.js';
