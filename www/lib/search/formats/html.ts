// HTML to plain text, without a document: a worker has none, and `innerHTML` would load pictures.

import { Parser } from 'htmlparser2';
import { BlockWriter, type PlainText } from './blocks.js';

/** Elements whose text no reader sees, or which repeat on every page of a site. */
const LEFT_OUT = new Set(['script', 'style', 'template', 'noscript', 'iframe', 'object', 'svg', 'math', 'canvas', 'select', 'textarea', 'nav', 'dialog']);
const HEADING = /^h[1-6]$/;
const BLOCKS = new Set([
  'address', 'article', 'aside', 'blockquote', 'body', 'caption', 'dd', 'details', 'div', 'dl', 'dt', 'fieldset', 'figcaption', 'figure', 'footer',
  'form', 'header', 'hr', 'legend', 'main', 'ol', 'p', 'pre', 'section', 'summary', 'table', 'ul',
]);
const LINES = new Set(['br', 'li', 'tr']);
const CELLS = new Set(['td', 'th']);

/** The readable text of an HTML document or fragment. Any text is accepted, as a browser accepts it. */
export function htmlToText(html: string): PlainText {
  const writer = new BlockWriter();
  let hidden = 0;
  let preformatted = 0;
  let inTitle = false;
  let title = '';
  let locale: string | undefined;
  const parser = new Parser(
    {
      onopentag(name, attributes) {
        if (name === 'html' || name === 'body') locale ??= attributes['lang'];
        if (hidden > 0 || LEFT_OUT.has(name) || attributes['hidden'] !== undefined || attributes['aria-hidden'] === 'true') {
          hidden++;
          return;
        }
        if (name === 'title') inTitle = true;
        else if (HEADING.test(name)) writer.beginHeading();
        else if (BLOCKS.has(name)) writer.endBlock();
        else if (LINES.has(name)) writer.line();
        else if (CELLS.has(name)) writer.inline(' ');
        else if (name === 'img' && attributes['alt']) writer.inline(` ${attributes['alt']} `);
        if (name === 'pre') preformatted++;
      },
      ontext(text) {
        if (inTitle) title += text;
        else if (hidden > 0) return;
        else if (preformatted > 0) writer.verbatim(text);
        else writer.inline(text);
      },
      onclosetag(name) {
        if (hidden > 0) {
          hidden--;
          return;
        }
        if (name === 'title') inTitle = false;
        if (name === 'pre') preformatted--;
        if (HEADING.test(name) || BLOCKS.has(name)) writer.endBlock();
      },
    },
    { decodeEntities: true },
  );
  parser.end(html);
  return writer.finish(title, locale);
}
