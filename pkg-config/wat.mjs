// WebAssembly in text form, for the bundler: `import bytes from './x.wat'` gives the module's bytes, inlined.

import { readFile } from 'node:fs/promises';
import binaryen from 'binaryen';

export const wat = {
  name: 'wat',
  setup({ onLoad }) {
    onLoad({ filter: /\.wat$/ }, async ({ path }) => {
      const module = binaryen.parseText(await readFile(path, 'utf8'));
      try {
        if (!module.validate()) throw new Error(`${path} is no valid module`);
        binaryen.setOptimizeLevel(3);
        module.optimize();
        return { contents: module.emitBinary(), loader: 'binary' };
      } finally {
        module.dispose();
      }
    });
  },
};
