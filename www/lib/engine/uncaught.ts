// A trap, or an exception that passes through wasm frames, may escape where no promise of ours sees it:
// Rust's futures are polled from microtasks of their own, and the call that waits for them then waits for
// ever. A panic announces itself; an allocation that aborts or a stack that overflows does not. Only the
// thread's `error` and `unhandledrejection` events tell of those.

/** Where uncaught errors of the engine are heard of. */
export interface Uncaught {
  /** Calls `listener` with what was thrown, until the function returned is called. */
  listen(listener: (thrown: unknown) => void): () => void;
}

/** A worker of our own: whatever is uncaught there is ours, and is kept from the page's `error` event, which says less. */
export function uncaughtInWorker(scope: EventTarget): Uncaught {
  return uncaughtIn(scope, (_thrown, event) => {
    event.preventDefault();
    return true;
  });
}

/** A page's thread: only what was thrown in our wasm file is ours, known by its name in the stack. */
export function uncaughtInPage(scope: Partial<EventTarget>): Uncaught {
  if (typeof scope.addEventListener !== 'function') return { listen: () => () => undefined };
  return uncaughtIn(scope as EventTarget, (thrown) => thrown instanceof Error && /jina_embeddings_web\S*\.wasm/.test(thrown.stack ?? ''));
}

function uncaughtIn(scope: EventTarget, isOurs: (thrown: unknown, event: Event) => boolean): Uncaught {
  return {
    listen(listener) {
      const heard = (event: Event): void => {
        const { error, reason, message } = event as { error?: unknown; reason?: unknown; message?: string } & Event;
        const thrown = event.type === 'unhandledrejection' ? reason : (error ?? message);
        if (isOurs(thrown, event)) listener(thrown);
      };
      const types = ['error', 'unhandledrejection'];
      for (const type of types) scope.addEventListener(type, heard);
      return () => {
        for (const type of types) scope.removeEventListener(type, heard);
      };
    },
  };
}
