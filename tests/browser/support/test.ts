// `test` with the site: the built page at /, the lab at /lab/, the fixtures at /fixtures/, the models at /models/,
// the one that is trained at /trained/tiny/.
import { expect, test as base } from '@playwright/test';
import { FIXTURES, LAB, MODELS, REPOSITORY, SITE } from './paths';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

interface Served { url: string; close(): Promise<void> }

export const test = base.extend<object, { site: string }>({
  site: [async ({}, use) => {
    const { serve } = await import(pathToFileURL(join(REPOSITORY, 'scripts/serve.mjs')).href) as {
      serve(options: { mounts: Array<{ path: string; dir: string }>; port: number }): Promise<Served>;
    };
    const served = await serve({
      mounts: [
        { path: '/', dir: SITE },
        { path: '/lab', dir: LAB },
        { path: '/fixtures', dir: FIXTURES },
        { path: '/models', dir: MODELS },
        { path: '/trained', dir: join(REPOSITORY, 'models') },
      ],
      port: 0,
    });
    await use(served.url);
    await served.close();
  }, { scope: 'worker' }],
});

export { expect };
