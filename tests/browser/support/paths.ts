import { join, resolve } from 'node:path';

export const REPOSITORY = resolve(__dirname, '../../..');
export const FIXTURES = join(REPOSITORY, 'tests/fixtures');
export const GOLDEN = join(FIXTURES, 'tiny/golden');
export const LAB = join(REPOSITORY, 'tests/browser/lab');
export const SITE = join(REPOSITORY, 'www/demo/dist');
/** What the global setup makes: model directories, served under /models. */
export const MODELS = join(REPOSITORY, 'target/browser-models');
