// onnxruntime-web: the same decoder as ONNX, written by bench/peers/make_onnx.py.

/**
 * A device with all that the runtime asks of the adapter, with or without subgroups. It is handed over because the
 * runtime asks for the adapter of high performance, which headless Chromium on Linux does not give beside one graphics card.
 */
async function deviceFor(subgroups) {
  const adapter = await adapterInTime();
  const requiredLimits = {};
  for (const name in adapter.limits) {
    if (typeof adapter.limits[name] === 'number') requiredLimits[name] = adapter.limits[name];
  }
  const wanted = ['shader-f16', 'timestamp-query', ...(subgroups ? ['subgroups', 'subgroups-f16', 'subgroup-size-control'] : [])];
  const requiredFeatures = wanted.filter((name) => adapter.features.has(name));
  return adapter.requestDevice({ requiredFeatures, requiredLimits });
}

/** None is offered while the graphics process is still starting. */
async function adapterInTime() {
  for (let asked = 1; ; asked++) {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter !== null) return adapter;
    if (asked === 20) throw new Error('no adapter within ten seconds');
    await new Promise((again) => setTimeout(again, 500));
  }
}

export async function open({ onnx, device, threads, subgroups = true }) {
  const ort = await import(device === 'webgpu' ? '/onnxruntime-web/ort.webgpu.min.mjs' : '/onnxruntime-web/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = '/onnxruntime-web/';
  ort.env.wasm.numThreads = threads;
  const provider = device === 'webgpu' ? { name: device, device: await deviceFor(subgroups) } : device;
  const session = await ort.InferenceSession.create(onnx, { executionProviders: [provider], graphOptimizationLevel: 'all' });
  return {
    notes: [`execution provider ${device}, ${threads} thread${threads > 1 ? 's' : ''} of WebAssembly`],
    async embed({ ids }) {
      const results = await session.run({
        input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
        seqlens_k: new ort.Tensor('int32', Int32Array.of(ids.length - 1), [1]),
        total_sequence_length: new ort.Tensor('int32', Int32Array.of(ids.length), []),
      });
      return results.mean.getData();
    },
  };
}
