/** What relative addresses are relative to; `undefined` outside a page and its workers. */
export function pageAddress(): string | undefined {
  if (typeof document !== 'undefined') return document.baseURI;
  return typeof location === 'undefined' ? undefined : location.href;
}
