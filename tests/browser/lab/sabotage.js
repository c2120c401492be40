// Breaks WebGPU on command, in the thread that imports it: so that the failures a device can have happen for real, on the
// device itself, in the build that is shipped. Commands come over the BroadcastChannel "sabotage", each answered, or in
// the worker's address (`?shader`) for what has to be broken from the start.
//
//   shader         every shader compiled from now on has an error
//   pipeline       every compute pipeline asks for an entry point that its shader does not have
//   allocation     every buffer made from now on is refused for want of memory
//   panic          writing and copying a buffer throw, which wgpu unwraps: a Rust panic
//   exception      submitting throws through the wasm frames
//   lost           the device is destroyed
//
// A refused buffer is an invalid one, and the browser reports it to the innermost `out-of-memory` error scope, or else
// as an `uncapturederror` event. Memory cannot be used up on a test machine, so that report is made here.
const armed = new Set(new URLSearchParams(globalThis.location?.search).keys());
const devices = new Set();
/** Per device: the open error scopes, innermost last. */
const scopes = new WeakMap();

function wrap(prototype, name, around) {
  const original = prototype?.[name];
  if (original) prototype[name] = function (...values) { return around.call(this, (...given) => original.apply(this, given), ...values); };
}

wrap(globalThis.GPUAdapter?.prototype, 'requestDevice', async function (request, ...values) {
  const device = await request(...values);
  devices.add(device);
  scopes.set(device, []);
  return device;
});

wrap(globalThis.GPUDevice?.prototype, 'createShaderModule', function (create, descriptor) {
  return create(armed.has('shader') ? { ...descriptor, code: `${descriptor.code}\nfn broken() { let x: u32 = 1.5; }` } : descriptor);
});

const renamed = (descriptor) => (armed.has('pipeline') ? { ...descriptor, compute: { ...descriptor.compute, entryPoint: 'no_such_entry_point' } } : descriptor);
for (const name of ['createComputePipeline', 'createComputePipelineAsync']) {
  wrap(globalThis.GPUDevice?.prototype, name, (create, descriptor) => create(renamed(descriptor)));
}

wrap(globalThis.GPUDevice?.prototype, 'pushErrorScope', function (push, filter) {
  scopes.get(this)?.push({ filter, refused: false });
  return push(filter);
});
wrap(globalThis.GPUDevice?.prototype, 'popErrorScope', async function (pop) {
  const scope = scopes.get(this)?.pop();
  const found = await pop();
  return scope?.refused ? new GPUOutOfMemoryError('Sabotage: out of device memory') : found;
});
wrap(globalThis.GPUDevice?.prototype, 'createBuffer', function (create, descriptor) {
  if (!armed.has('allocation')) return create(descriptor);
  const scope = scopes.get(this)?.findLast(({ filter }) => filter === 'out-of-memory');
  if (scope) scope.refused = true;
  else queueMicrotask(() => this.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error: new GPUOutOfMemoryError('Sabotage: out of device memory') })));
  GPUDevice.prototype.pushErrorScope.call(this, 'validation');
  const invalid = create({ size: 4, usage: 0x4000_0000 }); // no such usage: an invalid buffer
  void GPUDevice.prototype.popErrorScope.call(this);
  return invalid;
});
for (const [type, name] of [['GPUQueue', 'writeBuffer'], ['GPUCommandEncoder', 'copyBufferToBuffer']]) {
  wrap(globalThis[type]?.prototype, name, (work, ...values) => {
    if (armed.has('panic')) throw new TypeError(`Sabotage: ${name} throws`);
    return work(...values);
  });
}
wrap(globalThis.GPUQueue?.prototype, 'submit', function (submit, ...values) {
  if (armed.has('exception')) throw new TypeError('Sabotage: submit throws');
  return submit(...values);
});

const channel = new BroadcastChannel('sabotage');
channel.addEventListener('message', ({ data }) => {
  if (data.type !== 'command') return;
  if (data.command === 'lost') for (const device of devices) device.destroy();
  else armed.add(data.command);
  channel.postMessage({ type: 'done', command: data.command, n_devices: devices.size });
});
