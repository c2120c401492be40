// Counts and breaks WebGPU in the page itself, from outside the package: for embedders with `worker: false`.
import type { Page } from '@playwright/test';

export interface GpuCounter {
  /** Buffers made and destroyed, and bytes of those between. */
  made: number;
  destroyed: number;
  bytes: number;
  peakBytes: number;
  submits: number;
  /** Refuses this buffer, the device's so manyeth from 1, for want of memory. */
  refuseBuffer?: number | undefined;
  /** Loses a device at its so manyeth submit from 1, counted since this was set. */
  loseAtSubmit?: number | undefined;
  /** How many devices are lost that way; the rest stay. */
  losses?: number | undefined;
  /** Submits of each device since `loseAtSubmit` was set. */
  ofDevice?: WeakMap<GPUDevice, number>;
  /** Writes other bytes than those given. */
  corrupt?: boolean | undefined;
}

/** Installs the counter in every page that `page` opens from now on. */
export async function countGpu(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const counter: GpuCounter = { made: 0, destroyed: 0, bytes: 0, peakBytes: 0, submits: 0 };
    Object.assign(globalThis, { gpuCounter: counter });
    if (!('GPUDevice' in globalThis)) return;
    const alive = new WeakSet<GPUBuffer>();
    const queues = new WeakMap<GPUQueue, GPUDevice>();
    // A refusal is reported to the innermost `out-of-memory` scope, as the browser does it.
    const scopes = new WeakMap<GPUDevice, { filter: string; refused: boolean }[]>();
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...given) {
      const device = await requestDevice.apply(this, given);
      queues.set(device.queue, device);
      scopes.set(device, []);
      return device;
    };
    const { createBuffer, pushErrorScope, popErrorScope } = GPUDevice.prototype;
    GPUDevice.prototype.pushErrorScope = function (filter) {
      scopes.get(this)?.push({ filter, refused: false });
      return pushErrorScope.call(this, filter);
    };
    GPUDevice.prototype.popErrorScope = async function () {
      const scope = scopes.get(this)?.pop();
      const found = await popErrorScope.call(this);
      return scope?.refused ? new GPUOutOfMemoryError('out of device memory, by the test') : found;
    };
    GPUDevice.prototype.createBuffer = function (descriptor) {
      counter.made++;
      if (counter.made === counter.refuseBuffer) {
        const scope = scopes.get(this)?.findLast(({ filter }) => filter === 'out-of-memory');
        if (scope) scope.refused = true;
        else queueMicrotask(() => this.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error: new GPUOutOfMemoryError('out of device memory, by the test') })));
        counter.made--;
        pushErrorScope.call(this, 'validation');
        const invalid = createBuffer.call(this, { size: 4, usage: 0x4000_0000 });
        void popErrorScope.call(this);
        return invalid;
      }
      const buffer = createBuffer.call(this, descriptor);
      alive.add(buffer);
      counter.bytes += buffer.size;
      counter.peakBytes = Math.max(counter.peakBytes, counter.bytes);
      return buffer;
    };
    const { destroy } = GPUBuffer.prototype;
    GPUBuffer.prototype.destroy = function () {
      if (alive.delete(this)) {
        counter.destroyed++;
        counter.bytes -= this.size;
      }
      return destroy.call(this);
    };
    const { submit, writeBuffer } = GPUQueue.prototype;
    GPUQueue.prototype.submit = function (commands) {
      counter.submits++;
      const device = queues.get(this);
      if (device && counter.ofDevice && counter.losses) {
        const nth = (counter.ofDevice.get(device) ?? 0) + 1;
        counter.ofDevice.set(device, nth);
        if (nth === counter.loseAtSubmit) {
          counter.losses--;
          device.destroy();
        }
      }
      return submit.call(this, commands);
    };
    GPUQueue.prototype.writeBuffer = function (buffer, offset, data, ...rest) {
      // The numbers of launches (usage `UNIFORM`) are left alone, so that it computes: wrongly.
      if (!counter.corrupt || buffer.usage & 0x40 || !ArrayBuffer.isView(data)) return writeBuffer.call(this, buffer, offset, data, ...rest);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
      for (let i = 2; i < bytes.length; i += 4) bytes[i]! ^= 0x15;
      return writeBuffer.call(this, buffer, offset, bytes, ...rest);
    };
  });
}

/** What was counted so far. */
export function counted(page: Page): Promise<GpuCounter> {
  return page.evaluate(() => {
    const { ofDevice: _, ...counter } = (globalThis as never as { gpuCounter: GpuCounter }).gpuCounter;
    return counter;
  });
}

/** Sets what breaks next, and counts buffers and submits from zero; bytes go on. */
export function breakGpu(page: Page, how: Pick<GpuCounter, 'refuseBuffer' | 'loseAtSubmit' | 'losses' | 'corrupt'>): Promise<void> {
  return page.evaluate((wanted) => {
    const { gpuCounter } = globalThis as never as { gpuCounter: GpuCounter };
    Object.assign(gpuCounter, { made: 0, destroyed: 0, submits: 0, refuseBuffer: undefined, loseAtSubmit: undefined, losses: 1, corrupt: false, ofDevice: new WeakMap() }, wanted);
    gpuCounter.peakBytes = gpuCounter.bytes;
  }, how);
}
