// This package on every device of the machine: loading, and one call with a text or a picture.

import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { openBrowser } from './browser.mjs';

export const DEVICES = ['native-cpu', 'native-gpu', 'chromium-wasm', 'chromium-webgpu'];
const TOKENS = [16, 128, 512];
/** A software adapter needs seconds per call of the wide model: what it is asked for, by device. */
const SOFTWARE_TOKENS = { 'native-gpu': [16, 128], 'chromium-webgpu': [16] };
const SOFTWARE_REPEATS = 3;
const MAX_NATIVE_MS = 30 * 60_000;

/**
 * - `command`: the path of jina-embed; `models`: of makeModels; `folder`: where they are
 * - `devices`: of DEVICES; `repeats`: timed calls per input after the first
 * - returns: `version` of the browser, and one entry per device and model, with `error` where it failed
 */
export async function measureDevices({ command, models, folder, devices, repeats, hardware }) {
  const browser = await openBrowser({ models: folder, hardware });
  const cases = [];
  try {
    for (const device of devices) {
      let isSoftware = false;
      for (const model of models) {
        const load_average = loadavg()[0];
        const hard = model.wide && isSoftware;
        const plan = { tokens: hard ? SOFTWARE_TOKENS[device] : TOKENS, picture: !hard, repeats: hard ? Math.min(repeats, SOFTWARE_REPEATS) : repeats };
        process.stderr.write(`${device}, ${model.name} … `);
        const began = Date.now();
        let measured;
        try {
          measured = device.startsWith('native') ? native(command, device, model, plan) : await inBrowser(browser, device, model, plan);
          isSoftware = measured.is_software;
        } catch (error) {
          // A process says last what ended it, a page first.
          measured = { error: error.stderr ? String(error.stderr).trim().split('\n').at(-1) : String(error.message).split('\n')[0] };
        }
        process.stderr.write(`${measured.error ?? 'done'} (${((Date.now() - began) / 1000).toFixed(0)} s)\n`);
        cases.push({ device, model: model.name, load_average, ...measured });
      }
    }
  } finally {
    await browser.close();
  }
  return { version: browser.version, cases };
}

/** `jina-embed bench`, as JSON. */
export function nativeReport(command, args) {
  // Shaders that a driver kept from an earlier run would make the first call look quick.
  const env = { ...process.env, MESA_SHADER_CACHE_DISABLE: 'true', __GL_SHADER_DISK_CACHE: '0' };
  return JSON.parse(execFileSync(command, ['bench', ...args, '--json'], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: MAX_NATIVE_MS }));
}

/** What a native device is called in a table. */
export function nameOf({ name, backend, driver, threads }) {
  return driver ? `${name} (${backend}, ${driver})` : `${cpus()[0].model} (${name}), ${threads} threads`;
}

function native(command, device, model, { tokens, picture, repeats }) {
  const args = ['--model', model.dir, '--device', device.slice('native-'.length), '--tokens', tokens.join(','), '--repeats', String(repeats)];
  if (!picture) args.push('--no-picture');
  const report = nativeReport(command, args);
  return {
    device_name: nameOf(report.device),
    // On the processor nothing plays an adapter: the wide model runs as it is.
    is_software: device === 'native-gpu' && report.device.is_software,
    open_ms: report.open_ms,
    load_ms: report.load_ms,
    measurements: report.measurements,
    device_bytes: report.model.device_bytes,
    peak_rss_bytes: report.peak_rss_bytes,
  };
}

async function inBrowser(browser, device, model, plan) {
  const kind = device.slice('chromium-'.length);
  const { adapter, load_ms, measurements, memory } = await browser.measure({ model: `/models/${model.name}`, device: kind, ...plan });
  const { name, vendor, architecture, description, isFallbackAdapter } = adapter;
  // An adapter that has no name of its own is named after its vendor and architecture.
  const told = [name, vendor, architecture, description].filter((part, i, all) => part && !all.slice(0, i).some((before) => before.includes(part))).join(', ');
  return {
    device_name: kind === 'wasm' ? `${cpus()[0].model}, one thread` : told,
    is_software: kind === 'webgpu' && (isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(told)),
    load_ms,
    measurements,
    memory,
  };
}
