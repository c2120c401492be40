#!/usr/bin/env node
// Prints the size of a file as it is, gzipped and brotli-compressed (as web servers send it), and
// fails when the gzipped size passes a limit.
//
//   node scripts/wasm-size.mjs FILE [MAX_GZIP_BYTES]

import { readFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const [file, maxGzipBytes] = process.argv.slice(2);
const bytes = readFileSync(file);
const gzipBytes = gzipSync(bytes, { level: 9 }).length;
const brotliBytes = brotliCompressSync(bytes, {
  params: {
    // 11 takes a minute for these files and gains 3 %; servers that compress in advance use it.
    [constants.BROTLI_PARAM_QUALITY]: 9,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  },
}).length;

const megabytes = (n) => `${(n / 1e6).toFixed(2)} MB`;
console.log(`wasm size: ${megabytes(bytes.length)} raw, ${megabytes(gzipBytes)} gzip, ${megabytes(brotliBytes)} brotli`);
if (maxGzipBytes !== undefined && gzipBytes > Number(maxGzipBytes)) {
  console.error(`error: ${gzipBytes} bytes gzipped is over the limit of ${maxGzipBytes}`);
  process.exit(1);
}
