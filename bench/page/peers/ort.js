// onnxruntime-web: the same decoder as ONNX, written by bench/peers/make_onnx.py.

/** A device with all that the runtime asks of the adapter, but without subgroups. */
async function deviceWithoutSubgroups() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  const requiredLimits = {};
  for (const name in adapter.limits) {
    if (typeof adapter.limits[name] === 'number') requiredLimits[name] = adapter.limits[name];
  }
  const requiredFeatures = ['shader-f16', 'timestamp-query'].filter((name) => adapter.features.has(name));
  return adapter.requestDevice({ requiredFeatures, requiredLimits });
}

export async function open({ onnx, device, threads, subgroups = true }) {
  const ort = await import(device === 'webgpu' ? '/onnxruntime-web/ort.webgpu.min.mjs' : '/onnxruntime-web/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = '/onnxruntime-web/';
  ort.env.wasm.numThreads = threads;
  const provider = subgroups ? device : { name: device, device: await deviceWithoutSubgroups() };
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
