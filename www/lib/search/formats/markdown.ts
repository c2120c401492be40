// Markdown (CommonMark and GitHub's tables) to plain text: what a reader sees, without its marks.

import { Marked, type Token, type Tokens } from 'marked';
import { BlockWriter, type PlainText } from './blocks.js';
import { htmlToText } from './html.js';

/** Data about the document before its text, as many site generators write it. */
const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|$)/;

/** The readable text of a Markdown document. Any text is accepted: what is no Markdown stays as it is. */
export function markdownToText(markdown: string): PlainText {
  const front = FRONT_MATTER.exec(markdown);
  const writer = new BlockWriter();
  for (const token of new Marked().lexer(front === null ? markdown : markdown.slice(front[0].length))) block(token, writer);
  return writer.finish(frontValue(front?.[1], 'title'), frontValue(front?.[1], 'lang'));
}

function frontValue(front: string | undefined, key: string): string | undefined {
  const value = front === undefined ? undefined : new RegExp(`^${key}:[ \\t]*(.+?)[ \\t]*$`, 'm').exec(front)?.[1];
  return value?.replace(/^(["'])(.*)\1$/u, '$2');
}

function block(token: Token, writer: BlockWriter): void {
  switch (token.type) {
    case 'heading':
      writer.beginHeading();
      inline(token, writer);
      return writer.endBlock();
    case 'code':
      writer.endBlock();
      writer.verbatim((token as Tokens.Code).text);
      return writer.endBlock();
    case 'list':
      writer.endBlock();
      for (const item of (token as Tokens.List).items) {
        for (const inner of item.tokens) block(inner, writer);
        writer.line();
      }
      return writer.endBlock();
    case 'table': {
      writer.endBlock();
      const { header, rows } = token as Tokens.Table;
      for (const row of [header, ...rows]) {
        for (const cell of row) {
          for (const inner of cell.tokens) inline(inner, writer);
          writer.inline(' ');
        }
        writer.line();
      }
      return writer.endBlock();
    }
    case 'html': {
      writer.inline(htmlToText((token as Tokens.HTML).text).text);
      return writer.endBlock();
    }
    case 'blockquote':
      writer.endBlock();
      for (const inner of (token as Tokens.Blockquote).tokens) block(inner, writer);
      return writer.endBlock();
    case 'paragraph':
      writer.endBlock();
      inline(token, writer);
      return writer.endBlock();
    case 'text':
      return inline(token, writer);
    default: // space, hr, def: nothing to read
      return writer.endBlock();
  }
}

/** What stands inside a paragraph. */
function inline(token: Token, writer: BlockWriter): void {
  if (token.type === 'br') return writer.line();
  if (token.type === 'html') return; // a tag within a line; its text comes as tokens of its own
  const inner = 'tokens' in token ? token.tokens : undefined;
  if (inner !== undefined && inner.length > 0) {
    for (const each of inner) inline(each, writer);
  } else if ('text' in token && typeof token.text === 'string') {
    writer.inline(token.type === 'codespan' ? token.text : unescaped(token.text));
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', nbsp: '\u00a0' };

/** Character references, which the lexer leaves for the renderer. */
function unescaped(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/giu, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? '', 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
