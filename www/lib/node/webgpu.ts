// WebGPU where there is no browser: the optional package `webgpu` (Dawn, the implementation in Chromium).
// The module looks for `navigator.gpu` in a page or a worker, so while an embedder is made, and no
// longer, the global scope looks like a worker's.

interface Dawn {
  create(options: string[]): unknown;
  readonly globals: Record<string, unknown>;
}

let dawn: Promise<Found> | undefined;
let nUsers = 0;

/**
 * Runs `make` with `navigator.gpu` in place, where there is a `webgpu` package or the runtime has its own.
 * The classes of WebGPU, by which the module knows what it is given, stay.
 */
export async function withWebGpu<T>(make: () => Promise<T>): Promise<T> {
  dawn ??= start();
  const { gpu, globals } = await dawn;
  if (gpu === undefined) return make();
  nUsers += 1;
  for (const [name, value] of Object.entries(globals)) if (!(name in globalThis)) define(globalThis, name, value);
  if (nUsers === 1) put(gpu);
  try {
    return await make();
  } finally {
    nUsers -= 1;
    if (nUsers === 0) remove();
  }
}

interface Found {
  /** Undefined where there is no such package, or it does not load on this system. */
  readonly gpu: object | undefined;
  readonly globals: Record<string, unknown>;
}

async function start(): Promise<Found> {
  const own = (globalThis as { navigator?: { gpu?: object } }).navigator?.gpu;
  if (own !== undefined) return { gpu: own, globals: {} };
  try {
    // Not for bundlers to follow: most servers have no such package.
    const name = 'webgpu';
    const { create, globals } = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ name)) as Dawn;
    return { gpu: create([]) as object, globals };
  } catch {
    return { gpu: undefined, globals: {} };
  }
}

let restore: (() => void)[] = [];

function put(gpu: object): void {
  const scope = globalThis as { navigator?: object; WorkerGlobalScope?: unknown; Window?: unknown };
  if (scope.navigator === undefined) {
    define(scope, 'navigator', { gpu });
    restore.push(() => delete scope.navigator);
  } else if (!('gpu' in scope.navigator)) {
    const { navigator } = scope;
    define(navigator, 'gpu', gpu);
    restore.push(() => delete (navigator as { gpu?: object }).gpu);
  }
  if (scope.WorkerGlobalScope === undefined && scope.Window === undefined) {
    define(scope, 'WorkerGlobalScope', class WorkerGlobalScope {});
    restore.push(() => delete scope.WorkerGlobalScope);
  }
}

function remove(): void {
  for (const undo of restore) undo();
  restore = [];
}

function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { configurable: true, enumerable: false, writable: true, value });
}
