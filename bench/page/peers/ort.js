// onnxruntime-web: the same decoder as ONNX, written by bench/peers/make_onnx.py.

/** All that the adapter offers but one feature. */
async function deviceWithout(feature) {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  const limits = {};
  for (const name in adapter.limits) {
    if (typeof adapter.limits[name] === 'number') limits[name] = adapter.limits[name];
  }
  const wanted = ['shader-f16', 'timestamp-query', 'subgroups'].filter((name) => name !== feature && adapter.features.has(name));
  return adapter.requestDevice({ requiredFeatures: wanted, requiredLimits: limits });
}

export async function open(plan) {
  const { onnx, device, threads } = plan;
  const ort = await import(device === 'webgpu' ? '/onnxruntime-web/ort.webgpu.min.mjs' : '/onnxruntime-web/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = '/onnxruntime-web/';
  ort.env.wasm.numThreads = threads;
  // The module graph lives in this thread, as its makers advise for WebGPU.
  ort.env.wasm.proxy = false;
  const withoutSubgroups = device === 'webgpu' && plan.subgroups === false;
  const provider = withoutSubgroups ? { name: 'webgpu', device: await deviceWithout('subgroups') } : device;
  const session = await ort.InferenceSession.create(onnx, { executionProviders: [provider], graphOptimizationLevel: 'all' });
  return {
    notes: [`execution provider ${device}, ${threads} thread${threads > 1 ? 's' : ''} of WebAssembly`],
    async embed({ ids }) {
      const results = await session.run({
        input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
        seqlens_k: new ort.Tensor('int32', Int32Array.of(ids.length - 1), [1]),
        total_sequence_length: new ort.Tensor('int32', Int32Array.of(ids.length), []),
      });
      const vector = await results.mean.getData();
      return vector;
    },
  };
}
