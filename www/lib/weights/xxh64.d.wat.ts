/** The module, which the bundling scripts compile and inline. */
declare const moduleBytes: Uint8Array<ArrayBuffer>;
export default moduleBytes;
