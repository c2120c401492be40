// The formats of documents besides plain text: a file of its own in the package, loaded when the first
// such document comes.

export { htmlToText } from './html.js';
export { markdownToText } from './markdown.js';
