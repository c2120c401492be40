// Prints how fast WebAssembly multiplies on one thread, by type of matrix and rows.
//
//   node bench/products/wasm.mjs PATH/products.wasm [TYPE|attention] [--chromium]
//
// --chromium   in Chromium instead of in Node; needs the packages of pkg-config

import { readFile } from 'node:fs/promises';
import { measure } from './measure.mjs';

const [file, only] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
if (process.argv.includes('--chromium')) {
  const { launcher } = await import('../browser.mjs');
  const { serve } = await import('../../scripts/serve.mjs');
  const site = await serve({ mounts: [{ path: '/', dir: import.meta.dirname }], port: 0 });
  const browser = await (await launcher(false))();
  try {
    const page = await browser.newPage();
    await page.goto(new URL('measure.mjs', site.url).href);
    const bytes = (await readFile(file)).toString('base64');
    const lines = await page.evaluate(async ([base64, only]) => {
      const { measure } = await import('/measure.mjs');
      return measure(Uint8Array.from(atob(base64), (each) => each.charCodeAt(0)), only);
    }, [bytes, only]);
    console.log([`Chromium ${browser.version()}`, ...lines].join('\n'));
  } finally {
    await browser.close();
    await site.close();
  }
} else {
  console.log([`node ${process.version}`, ...(await measure(await readFile(file), only))].join('\n'));
}
