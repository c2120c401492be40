// How numbers and tables are written.

/** 0.51, 5.1, 51, 5100: three digits at most say something. */
export function milliseconds(ms) {
  return ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0);
}

export function megabytes(nBytes) {
  if (nBytes >= 1e9) return `${(nBytes / 1e9).toFixed(1)} GB`;
  return `${(nBytes / 1e6).toFixed(nBytes < 10e6 ? 1 : 0)} MB`;
}

/** A table in Markdown whose columns stand below each other in the text too. */
export function table(header, rows) {
  const widths = header.map((name, column) => Math.max(3, name.length, ...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
