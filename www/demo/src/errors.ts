// What a visitor reads when something fails. Errors are told apart by their stable code, as the package documents.

const SENTENCES: Record<string, string> = {
  DOWNLOAD_FAILED: 'The model could not be downloaded.',
  INTEGRITY: 'A downloaded file is damaged. Trying again fetches it anew.',
  QUOTA: 'This browser has no room left to keep the model.',
  MODEL_INVALID: 'This is not a model that can be used.',
  MODEL_UNSUPPORTED: 'This model is of a kind that is not supported.',
  TASK_UNAVAILABLE: 'This model cannot do retrieval.',
  WEBGPU_UNAVAILABLE: 'This browser has no WebGPU. Choose the CPU, or another browser for a large model.',
  NO_ADAPTER: 'WebGPU found no graphics device. Choose the CPU for a small model.',
  LIMITS_INSUFFICIENT: 'This graphics device is too small for the model.',
  OUT_OF_MEMORY: 'The device ran out of memory. Close other pages, or use a smaller model.',
  DEVICE_LOST: 'The graphics device was lost. Loading the model again usually helps.',
  GPU_ERROR: 'The graphics device reported an error.',
  NOT_FINITE: 'The model gave values that are not numbers; its weights may be damaged.',
  WASM_INIT: 'The WebAssembly module could not be started.',
  WORKER_FAILED: 'The background worker stopped.',
  INTERNAL: 'Something went wrong inside the model.',
  DISPOSED: 'The model was unloaded.',
};

const ABOUT_THE_INPUT = new Set(['INPUT_INVALID', 'DOWNLOAD_FAILED']);

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'INTERNAL';
}

/** True for the error of an aborted call; the caller asked for it, so nobody is told. */
export function isAbort(error: unknown): boolean {
  return codeOf(error) === 'ABORTED' || (error as { name?: unknown } | null)?.name === 'AbortError';
}

/** True where one input is at fault and the embedder stays usable. */
export function isAboutTheInput(error: unknown): boolean {
  return ABOUT_THE_INPUT.has(codeOf(error));
}

/** The error's own words; for a bad input, those about the input. */
export function messageOf(error: unknown): string {
  const { message, inputs } = (error ?? {}) as { message?: unknown; inputs?: ReadonlyArray<{ message: string }> };
  return inputs?.[0]?.message ?? String(message ?? error);
}

/** A plain sentence: our own for the known codes, the error's for what is wrong with an input. */
export function sentenceFor(error: unknown): string {
  return SENTENCES[codeOf(error)] ?? messageOf(error);
}
