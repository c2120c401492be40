import { join } from 'node:path';

// The packages lie two folders up.
export default { turbopack: { root: join(import.meta.dirname, '../..') }, outputFileTracingRoot: join(import.meta.dirname, '../..') };
