// Who is measured beside whom: one group for each place where models run. The first engine of a group is ours.
//
//   engine  name, version, what it is; how it is opened; `minCosine`, how near its vector has to be to the reference;
//           `maxRatio`, how many times the shortest time it may take before longer inputs are not worth the wait
//   goal    the ratio of our shortest time to theirs that the project has set itself, and against whom

import { join } from 'node:path';
import { openProcess } from './engines.mjs';

/** Names of all groups that a machine can have. */
export const GROUPS = ['chromium-webgpu', 'chromium-wasm-1', 'chromium-wasm-2', 'native-gpu', 'native-cpu-1', 'native-cpu-2'];

/** With f32 activations nothing but the order of additions differs. */
const F32 = 0.99999;
/** Ours: the project's own gate for quantised weights. */
const OURS = 0.9999;
/** llama.cpp, wllama and accuracy level 4 round activations to 8 bits. */
const INT8 = 0.999;

const PICTURES_ABSENT = {
  'onnxruntime-web': 'no vision tower of this model has been exported to ONNX',
  wllama: 'its embedding call takes no picture',
  'llama.cpp': 'its embedding call pools only the text after a picture, another vector by definition',
  'stock Burn': 'only the decoder is expanded',
};
const absentFor = (name) => ({ picture }) => (picture ? PICTURES_ABSENT[name] : undefined);

/**
 * - `chromium`: of openChromium, or null where no group in a browser is wanted
 * - `files`: of makePeerFiles; `modelFolder` is what the browser sees as /models
 * - `command`: the path of jina-embed
 * - returns: groups, each with `name`, `title`, `goal` and `engines`
 */
export function groupsOf({ chromium, files, modelFolder, command, python, versions, cores }) {
  const { paths, maxTokens } = files;
  const address = (path) => `/models${path.slice(modelFolder.length)}`;
  const plan = (more) => ({ model: address(paths.text), vision: address(paths.vision), onnx: address(paths.onnx), threads: 1, maxTokens, ...more });
  const inPage = (name, kind, minCosine, what, more) => ({
    name, what, minCosine, absent: absentFor(name.split(',')[0]), open: () => chromium.open(kind, plan(more)),
  });
  const ort = (suffix, minCosine, more, what) => inPage(`onnxruntime-web${suffix}`, 'ort', minCosine, `onnxruntime-web ${versions['onnxruntime-web']}, ${what}`, more);
  const wllama = (more, what) => inPage('wllama', 'wllama', INT8, `wllama ${versions['@wllama/wllama']}, ${what}`, more);

  /** Ours, natively, with the options of `jina-embed bench`. */
  const native = (name, what, minCosine, model, options, threads) => ({
    name, what, minCosine, absent: absentFor(name),
    // Shaders that a driver kept from an earlier run would make the first call look quick.
    open: () => openProcess(name, command, ['bench', '--model', model, '--requests', ...options], { threads, env: { MESA_SHADER_CACHE_DISABLE: 'true', __GL_SHADER_DISK_CACHE: '0' } }),
  });
  const llamaCpp = (threads) => ({
    name: 'llama.cpp', what: `llama.cpp of PyPI xllamacpp ${versions.xllamacpp}, embeddings mode`, minCosine: INT8, absent: absentFor('llama.cpp'),
    open: () => openProcess('llama.cpp', python, [join(import.meta.dirname, 'llama_cpp.py'), paths.text, String(threads), String(maxTokens)], { threads }),
  });
  const vision = ['--mmproj', paths.vision];

  const webgpu = {
    name: 'chromium-webgpu', title: 'Chromium, WebGPU', goal: { ratio: 0.5 },
    engines: [
      inPage('ours', 'ours', OURS, 'this package', { device: 'webgpu' }),
      ort('', F32, { device: 'webgpu' }, 'WebGPU, f32 activations'),
      // Without hardware for dot products of bytes it takes many times as long: then one length is enough to say so.
      { ...ort(', int8', INT8, { device: 'webgpu', onnx: address(paths.onnxInt8) }, 'WebGPU, accuracy level 4: int8 activations'), maxRatio: 3 },
      // Adapters that play a graphics card have subgroups of four lanes, for which its attention was not written.
      ...(chromium?.adapter?.isFallback ? [ort(', no subgroups', F32, { device: 'webgpu', subgroups: false }, 'WebGPU, f32 activations, on a device without the feature `subgroups`')] : []),
      {
        ...wllama({ device: 'webgpu' }, 'WebGPU where the adapter has `shader-f16`'),
        // Without that feature it computes on the processor and says nothing but where its buffers are.
        refused: (notes) => (notes.some((note) => /webgpu.*buffer size/i.test(note)) ? undefined : 'computes on the processor here: its log names no WebGPU buffer'),
      },
    ],
  };
  const wasm = (threads) => ({
    name: `chromium-wasm-${threads}`, title: `Chromium, WebAssembly, ${threads === 1 ? 'one thread' : `${threads} threads`}`,
    goal: { ratio: threads === 1 ? 0.2 : 0.25, against: ['wllama'] },
    engines: [
      inPage('ours', 'ours', OURS, threads === 1 ? 'this package' : 'this package on one thread: it has no build with threads', { device: 'wasm' }),
      wllama({ device: 'wasm', threads }, 'no layer on the GPU'),
      ort('', F32, { device: 'wasm', threads }, 'WebAssembly, f32 activations'),
    ],
  });
  const nativeGpu = {
    name: 'native-gpu', title: 'Native, Vulkan', goal: { ratio: 0.5 },
    engines: [
      native('ours', 'jina-embed', OURS, paths.text, ['--device', 'gpu', ...vision]),
      native('stock Burn', "the same model in Burn's own operations (`--kernels portable`), weights expanded to f32, whose rows each call lays out anew", F32, paths.expanded, ['--device', 'gpu', '--kernels', 'portable']),
    ],
  };
  const nativeCpu = (threads) => ({
    name: `native-cpu-${threads}`, title: `Native, processor, ${threads === 1 ? 'one thread' : `${threads} threads`}`, goal: { ratio: 1 },
    engines: [native('ours', 'jina-embed', OURS, paths.text, ['--device', 'cpu', ...vision], threads), llamaCpp(threads)],
  });
  const threads = cores > 1 ? [1, 2] : [1];
  return [webgpu, ...threads.map(wasm), nativeGpu, ...threads.map(nativeCpu)];
}
